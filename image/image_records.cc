#include "image/image_records.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace berth::image {
namespace {

template <typename Message>
store::Record Pack(absl::string_view kind, const std::string& id, const Message& message) {
  return store::Record{std::string(kind), id, kRecordVersion, message.SerializeAsString()};
}

template <typename Message>
absl::StatusOr<Message> Unpack(const store::Record& record) {
  if (record.version != kRecordVersion) {
    return absl::DataLossError(absl::StrCat("read record ", record.kind, "/", record.id,
                                            ": unknown version ", record.version));
  }
  Message message;
  if (!message.ParseFromString(record.body)) {
    return absl::DataLossError(
        absl::StrCat("read record ", record.kind, "/", record.id, ": does not parse"));
  }
  return message;
}

template <typename Repeated>
std::vector<std::string> Strings(const Repeated& field) {
  return {field.begin(), field.end()};
}

// Works on the worker's message and on the stored one: the same fields by the same names.
template <typename Message>
ImageConfig FromMessage(const Message& message) {
  ImageConfig config;
  config.entrypoint = Strings(message.entrypoint());
  config.cmd = Strings(message.cmd());
  config.env = Strings(message.env());
  config.user = message.user();
  config.working_dir = message.working_dir();
  config.stop_signal = message.stop_signal();
  config.volumes = Strings(message.volumes());
  config.labels.insert(message.labels().begin(), message.labels().end());
  config.architecture = message.architecture();
  config.os = message.os();
  return config;
}

records::ImageConfigRecord ToMessage(const ImageConfig& config) {
  records::ImageConfigRecord message;
  message.mutable_entrypoint()->Assign(config.entrypoint.begin(), config.entrypoint.end());
  message.mutable_cmd()->Assign(config.cmd.begin(), config.cmd.end());
  message.mutable_env()->Assign(config.env.begin(), config.env.end());
  message.set_user(config.user);
  message.set_working_dir(config.working_dir);
  message.set_stop_signal(config.stop_signal);
  message.mutable_volumes()->Assign(config.volumes.begin(), config.volumes.end());
  message.mutable_labels()->insert(config.labels.begin(), config.labels.end());
  message.set_architecture(config.architecture);
  message.set_os(config.os);
  return message;
}

bool HasNul(const std::vector<std::string>& strings) {
  return std::any_of(strings.begin(), strings.end(),
                     [](const std::string& s) { return s.find('\0') != std::string::npos; });
}

}  // namespace

store::Record ToRecord(const Image& image) {
  records::ImageRecord message;
  message.mutable_repo_tags()->Assign(image.repo_tags.begin(), image.repo_tags.end());
  message.mutable_repo_digests()->Assign(image.repo_digests.begin(), image.repo_digests.end());
  message.set_pinned(image.pinned);
  for (const Digest& layer : image.layers) message.add_layers(layer.str());
  *message.mutable_config() = ToMessage(image.config);
  message.set_size(image.size);
  return Pack(kImageKind, image.id.str(), message);
}

absl::StatusOr<Image> ImageFromRecord(const store::Record& record) {
  ASSIGN_OR_RETURN(const auto message, Unpack<records::ImageRecord>(record));
  absl::StatusOr<Digest> id = Digest::Parse(record.id);
  if (!id.ok() || message.layers().empty() || message.size() == 0) {
    return absl::DataLossError(absl::StrCat("read record image/", record.id, ": incomplete"));
  }
  Image image{*id};
  image.repo_tags = Strings(message.repo_tags());
  image.repo_digests = Strings(message.repo_digests());
  image.pinned = message.pinned();
  for (const std::string& text : message.layers()) {
    absl::StatusOr<Digest> layer = Digest::Parse(text);
    if (!layer.ok()) {
      return absl::DataLossError(absl::StrCat("read record image/", record.id, ": bad layer"));
    }
    image.layers.push_back(*layer);
  }
  image.config = FromMessage(message.config());
  image.size = message.size();
  return image;
}

store::Record ToRecord(const Digest& layer, const LayerFacts& facts) {
  records::LayerRecord message;
  message.set_bytes(facts.bytes);
  message.set_inodes(facts.inodes);
  message.set_opaque_root(facts.opaque_root);
  return Pack(kLayerKind, layer.str(), message);
}

absl::StatusOr<std::pair<Digest, LayerFacts>> LayerFromRecord(const store::Record& record) {
  ASSIGN_OR_RETURN(const auto message, Unpack<records::LayerRecord>(record));
  absl::StatusOr<Digest> id = Digest::Parse(record.id);
  if (!id.ok()) return absl::DataLossError(absl::StrCat("read record layer/", record.id, ": id"));
  return std::make_pair(*id, LayerFacts{message.bytes(), message.inodes(), message.opaque_root()});
}

store::Record ToRecord(const std::string& file, const records::ImportRecord& import) {
  return Pack(kImportKind, file, import);
}

absl::StatusOr<records::ImportRecord> ImportFromRecord(const store::Record& record) {
  return Unpack<records::ImportRecord>(record);
}

absl::StatusOr<ImageConfig> ConfigFromWorker(const worker::ImageConfig& message) {
  ImageConfig config = FromMessage(message);
  if (HasNul(config.entrypoint) || HasNul(config.cmd) || HasNul(config.env) ||
      HasNul({config.user, config.working_dir, config.stop_signal}) || HasNul(config.volumes)) {
    return absl::InvalidArgumentError("read image config: a string with a NUL byte in it");
  }
  return config;
}

}  // namespace berth::image

#include "cni/attachment_record.h"

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cni/json_text.h"
#include "cni/version.h"
#include "records.pb.h"

namespace berth::cni {
namespace {

absl::Status Lost(const store::Record& record, absl::string_view why) {
  return absl::DataLossError(absl::StrCat("read record attachment/", record.id, ": ", why));
}

}  // namespace

store::Record ToRecord(const AttachmentFacts& facts) {
  records::AttachmentRecord message;
  message.set_state(facts.attached ? records::AttachmentRecord::ATTACHED
                                   : records::AttachmentRecord::ATTACHING);
  message.set_conf_list(facts.list->bytes);
  message.set_cni_version(facts.version);
  message.set_netns_path(facts.netns_path);
  message.set_if_name(facts.if_name);
  message.set_args(facts.args);
  for (const auto& [name, value] : facts.capability_args) {
    (*message.mutable_capability_args())[name] = value;
  }
  message.set_result(facts.result);
  return {std::string(kAttachmentKind), facts.id, kAttachmentVersion, message.SerializeAsString()};
}

absl::StatusOr<AttachmentFacts> FromRecord(const store::Record& record) {
  if (record.version != kAttachmentVersion) {
    return Lost(record, absl::StrCat("unknown version ", record.version));
  }
  records::AttachmentRecord message;
  if (!message.ParseFromString(record.body)) return Lost(record, "does not parse");
  AttachmentFacts facts;
  facts.id = record.id;
  switch (message.state()) {
    case records::AttachmentRecord::ATTACHING:
      facts.attached = false;
      break;
    case records::AttachmentRecord::ATTACHED:
      facts.attached = true;
      break;
    default:  // from a newer program, or none
      return Lost(record, "unknown state");
  }
  absl::StatusOr<ConfList> list = ParseConfList(message.conf_list());
  if (!list.ok()) {
    return Lost(record, absl::StrCat("configuration: ", list.status().message()));
  }
  if (VersionIndex(message.cni_version()) < 0) return Lost(record, "unknown CNI version");
  facts.list = std::make_shared<const ConfList>(*std::move(list));
  facts.version = message.cni_version();
  facts.netns_path = message.netns_path();
  facts.if_name = message.if_name();
  facts.args = message.args();
  facts.capability_args.insert(message.capability_args().begin(), message.capability_args().end());
  facts.result = message.result();
  // Both go into a plugin's input as they are.
  for (const auto& [name, value] : facts.capability_args) {
    if (!CheckJson(value).ok()) return Lost(record, "a capability's value is not JSON");
  }
  if (!facts.result.empty() && !CheckJson(facts.result).ok()) {
    return Lost(record, "the result is not JSON");
  }
  return facts;
}

}  // namespace berth::cni

#include "server/image_messages.h"

#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/clock.h"
#include "base/status_macros.h"

namespace berth::server {
namespace {

using nlohmann::json;

std::string Dump(const json& value) {
  // Config text need not be UTF-8: replace instead of throwing.
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string VerboseInfo(const image::Image& image) {
  json layers = json::array();
  for (const Digest& layer : image.layers) layers.push_back(layer.str());
  const image::ImageConfig& c = image.config;
  return Dump({{"architecture", c.architecture},
               {"os", c.os},
               {"config",
                {{"Entrypoint", c.entrypoint},
                 {"Cmd", c.cmd},
                 {"Env", c.env},
                 {"User", c.user},
                 {"WorkingDir", c.working_dir},
                 {"StopSignal", c.stop_signal},
                 {"Volumes", c.volumes},
                 {"Labels", c.labels}}},
               {"rootfs", {{"type", "layers"}, {"diff_ids", layers}}}});
}

image::RegistryAuth ToAuth(const cri::AuthConfig& auth) {
  return {auth.username(),       auth.password(),       auth.auth(),
          auth.identity_token(), auth.registry_token(), auth.server_address()};
}

}  // namespace

cri::Image ToCri(const image::Image& image) {
  cri::Image out;
  out.set_id(image.id.str());
  for (const std::string& tag : image.repo_tags) out.add_repo_tags(tag);
  for (const std::string& digest : image.repo_digests) out.add_repo_digests(digest);
  out.set_size(image.size);
  out.set_pinned(image.pinned);
  const std::string user = image.config.user.substr(0, image.config.user.find(':'));
  int64_t uid = 0;
  if (absl::SimpleAtoi(user, &uid)) {
    out.mutable_uid()->set_value(uid);
  } else {
    out.set_username(user);
  }
  return out;
}

void FillImageList(const image::ImageStore& images, const cri::ListImagesRequest& request,
                   cri::ListImagesResponse* reply) {
  const std::string& wanted = request.filter().image().image();
  if (wanted.empty()) {
    for (const image::ImagePtr& image : images.List()) *reply->add_images() = ToCri(*image);
    return;
  }
  if (const image::ImagePtr image = images.Find(wanted)) *reply->add_images() = ToCri(*image);
}

absl::Status FillImageStatus(const image::ImageStore& images,
                             const cri::ImageStatusRequest& request,
                             cri::ImageStatusResponse* reply) {
  const std::string& wanted = request.image().image();
  if (wanted.empty()) return absl::InvalidArgumentError("image status: no image is named");
  const image::ImagePtr image = images.Find(wanted);
  if (image == nullptr) return absl::OkStatus();
  *reply->mutable_image() = ToCri(*image);
  if (request.verbose()) (*reply->mutable_info())["info"] = VerboseInfo(*image);
  return absl::OkStatus();
}

absl::Status PullImageByName(image::ImageStore* images, const std::string& default_handler,
                             const cri::PullImageRequest& request, const Cancel& cancel,
                             cri::PullImageResponse* reply) {
  const cri::ImageSpec& wanted = request.image();
  if (wanted.image().empty()) return absl::InvalidArgumentError("pull image: no image is named");
  const std::string& handler = wanted.runtime_handler();
  if (!handler.empty() && handler != default_handler) {
    return absl::InvalidArgumentError(absl::StrCat("pull image ", absl::CHexEscape(wanted.image()),
                                                   ": no runtime for \"", absl::CHexEscape(handler),
                                                   "\" is configured"));
  }
  const absl::StatusOr<image::ImagePtr> image =
      images->Pull({wanted.image(), ToAuth(request.auth())}, cancel);
  if (image.status().code() == absl::StatusCode::kUnavailable) {
    return WithCode(absl::StatusCode::kUnknown, image.status(), "RegistryUnavailable");
  }
  if (!image.ok()) return image.status();
  reply->set_image_ref((*image)->id.str());
  return absl::OkStatus();
}

absl::Status RemoveImageByName(image::ImageStore* images, const cri::RemoveImageRequest& request) {
  const std::string& wanted = request.image().image();
  if (wanted.empty()) return absl::InvalidArgumentError("remove image: no image is named");
  return images->Remove(wanted);
}

absl::Status FillFsInfo(const image::ImageStore& images, cri::ImageFsInfoResponse* reply) {
  ASSIGN_OR_RETURN(const image::FsUsage usage, images.Usage());
  // Writable layers are on the same file system: container_filesystems stays empty.
  cri::FilesystemUsage* fs = reply->add_image_filesystems();
  fs->set_timestamp(WallNanos());
  fs->mutable_fs_id()->set_mountpoint(usage.mountpoint);
  fs->mutable_used_bytes()->set_value(usage.bytes);
  fs->mutable_inodes_used()->set_value(usage.inodes);
  return absl::OkStatus();
}

}  // namespace berth::server

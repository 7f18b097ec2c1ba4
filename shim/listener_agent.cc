#include "shim/listener_agent.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "shim/child/listener.h"
#include "shim/oci/json_reader.h"

namespace berth::shim {

std::string ProcessStateHead(const LaunchDocument& document, absl::string_view status) {
  using Json = nlohmann::ordered_json;
  const std::string& version = document.spec.oci_version;
  Json state = {{"ociVersion", version},
                {"id", document.container_id},
                {"status", std::string(status)},
                {"bundle", document.bundle}};
  if (!document.spec.annotations.empty()) state["annotations"] = document.spec.annotations;
  Json process = {{"ociVersion", version}, {"fds", {"seccompFd"}}};
  if (!document.seccomp.listener_metadata.empty()) {
    process["metadata"] = document.seccomp.listener_metadata;
  }
  process["state"] = std::move(state);
  std::string text = process.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.resize(text.size() - 2);  // both objects stay open
  return text + ",\"pid\":";
}

absl::StatusOr<ListenerAgent> ListenerAgent::Find(const LaunchDocument& document) {
  ListenerAgent agent;
  if ((document.seccomp.flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) == 0) return agent;
  agent.path_ = document.seccomp.listener_path;
  const auto refuse = [&](absl::string_view why) {
    return absl::InvalidArgumentError(
        absl::StrCat("linux.seccomp.listenerPath: ", agent.path_, ": ", why));
  };
  const size_t slash = agent.path_.rfind('/');
  if (slash == std::string::npos) return refuse("must be an absolute path");
  const std::string name = agent.path_.substr(slash + 1);
  absl::StatusOr<os::UniqueFd> directory =
      os::Open(slash == 0 ? "/" : agent.path_.substr(0, slash), O_PATH | O_DIRECTORY);
  struct stat st;
  if (!directory.ok()) return refuse(directory.status().message());
  if (fstatat(directory->get(), name.c_str(), &st, 0) != 0) return refuse(os::ErrnoText(errno));
  if (!S_ISSOCK(st.st_mode)) return refuse("not a socket");
  agent.directory_ = *std::move(directory);
  agent.state_ = ProcessStateHead(document, "creating");
  return agent;
}

absl::Status ListenerAgent::HandOver(pid_t pid, int pidfd, int listener) const {
  if (!directory_.valid()) return absl::InternalError("a listener, and no agent for it");
  const char* step = "";
  const int error = child::HandOverListener(
      {directory_.get(), path_.c_str(), state_.c_str(), pid, pid, pidfd, listener}, &step);
  if (error == 0) return absl::OkStatus();
  const std::string what = absl::StrCat("linux.seccomp.listenerPath: ", path_, ": ", step);
  const bool is_ours = error == EPERM || error == EBADF;  // of taking it
  const absl::Status status = os::ErrnoStatus(error, what);
  return is_ours ? status : WithCode(absl::StatusCode::kInvalidArgument, status, "");
}

}  // namespace berth::shim

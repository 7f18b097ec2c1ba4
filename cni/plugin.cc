#include "cni/plugin.h"

#include <errno.h>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/log.h"
#include "base/os/errno_status.h"
#include "base/os/run_program.h"
#include "base/status_macros.h"
#include "cni/json_text.h"
#include "cni/plugin_failure.h"

namespace berth::cni {
namespace {

constexpr absl::string_view kPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

bool IsProgram(const std::string& path, struct stat* st) {
  return stat(path.c_str(), st) == 0 && S_ISREG(st->st_mode) && (st->st_mode & 0111) != 0;
}

// Changes whenever somebody installs another file under the path.
std::string FileIdentity(const std::string& path) {
  struct stat st;
  if (!IsProgram(path, &st)) return "";
  return absl::StrCat(st.st_dev, ":", st.st_ino, ":", st.st_size, ":", st.st_mtim.tv_sec, ".",
                      st.st_mtim.tv_nsec);
}

// An exec that fails is the fault of what is installed; anything else is ours or the host's.
absl::Status StartFailure(const absl::Status& status) {
  const bool installed = os::IsErrno(status, ENOENT) || os::IsErrno(status, EACCES) ||
                         os::IsErrno(status, ENOEXEC) || os::IsErrno(status, EPERM);
  const absl::StatusCode code = installed ? absl::StatusCode::kFailedPrecondition : status.code();
  return absl::Status(code, status.message());
}

std::string Name(const std::string& type, const std::string& command, const std::string& network) {
  return absl::StrCat("CNI plugin ", type, ", ", command, " for network ", network);
}

}  // namespace

Plugins::Plugins(std::vector<std::string> bin_dirs) : bin_dirs_(std::move(bin_dirs)) {}

absl::StatusOr<std::string> Plugins::Find(const std::string& type) const {
  for (const std::string& dir : bin_dirs_) {
    std::string path = absl::StrCat(dir, "/", type);
    struct stat st;
    if (IsProgram(path, &st)) return path;
  }
  return absl::FailedPreconditionError(
      absl::StrCat("CNI plugin ", type, ": no such program in ", absl::StrJoin(bin_dirs_, " or ")));
}

absl::StatusOr<os::ProgramResult> Plugins::Start(const std::string& type,
                                                 const std::string& command,
                                                 const Invocation& invocation,
                                                 const std::string& input,
                                                 Deadline deadline) const {
  ASSIGN_OR_RETURN_CTX(std::string path, Find(type),
                       absl::StrCat(command, " for network ", invocation.network));
  os::Program program;
  program.path = std::move(path);
  program.argv = {program.path};
  program.env = {absl::StrCat("CNI_COMMAND=", command),
                 absl::StrCat("CNI_CONTAINERID=", invocation.container_id),
                 absl::StrCat("CNI_NETNS=", invocation.netns),
                 absl::StrCat("CNI_IFNAME=", invocation.if_name),
                 absl::StrCat("CNI_ARGS=", invocation.args),
                 absl::StrCat("CNI_PATH=", absl::StrJoin(bin_dirs_, ":")),
                 absl::StrCat("PATH=", kPath)};
  program.input = input;
  absl::StatusOr<os::ProgramResult> result = os::RunProgram(program, deadline);
  if (!result.ok()) {
    return Annotate(StartFailure(result.status()), Name(type, command, invocation.network));
  }
  return result;
}

absl::StatusOr<std::string> Plugins::Run(const std::string& type, const std::string& command,
                                         const Invocation& invocation, const std::string& input,
                                         Deadline deadline) const {
  ASSIGN_OR_RETURN(os::ProgramResult result, Start(type, command, invocation, input, deadline));
  RETURN_IF_ERROR_CTX(PluginStatus(result), Name(type, command, invocation.network));
  return std::move(result.output);
}

absl::StatusOr<PluginVersions> Plugins::Versions(const std::string& type,
                                                 const std::string& network, Deadline deadline) {
  ASSIGN_OR_RETURN(const std::string path, Find(type));
  const std::string file = FileIdentity(path);
  {
    MutexLock lock(&mu_);
    const auto known = answers_.find(path);
    if (known != answers_.end() && known->second.file == file) return known->second.versions;
  }
  // Values that some plugins insist on even here.
  const Invocation invocation{network, "version", "/dev/null", "eth0", ""};
  ASSIGN_OR_RETURN(const os::ProgramResult result,
                   Start(type, "VERSION", invocation, R"({"cniVersion":"1.1.0"})", deadline));
  absl::Status problem = PluginStatus(result);
  if (absl::IsDeadlineExceeded(problem)) {  // it will not do better with ADD
    return Annotate(problem, Name(type, "VERSION", network));
  }
  PluginVersions versions{type, false, {}};
  if (problem.ok()) {
    absl::StatusOr<std::vector<std::string>> parsed = ParseVersions(result.output);
    problem = parsed.status();
    if (parsed.ok()) versions.supported = *std::move(parsed);
  }
  if (!problem.ok()) {
    versions.unknown = true;
    LogWarning("a CNI plugin does not tell its versions, the configuration's is used",
               {{"plugin", path}, {"error", problem.message()}});
  }
  MutexLock lock(&mu_);
  answers_[path] = {file, versions};
  return versions;
}

}  // namespace berth::cni

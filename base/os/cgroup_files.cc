#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/os/cgroup_internal.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::os::cgroup_internal {
namespace {

constexpr size_t kFileLimit = 16 << 20;  // cgroup.procs of a full host: 4 million pids do not fit

// ENODEV: the group went away while its file was open.
bool IsGone(const absl::Status& status) {
  return IsErrno(status, ENOENT) || IsErrno(status, ENODEV);
}

absl::StatusOr<std::vector<std::string>> SubGroups(const std::string& dir) {
  ASSIGN_OR_RETURN(const UniqueFd fd, Open(dir, O_RDONLY | O_DIRECTORY));
  return ListSubdirectories(fd.get());
}

}  // namespace

absl::Status CheckPath(const std::string& path) {
  const auto bad = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("cgroup path \"", path, "\" ", why));
  };
  if (!absl::StartsWith(path, "/")) return bad("must be absolute");
  if (path.find('\0') != std::string::npos || path.find('\n') != std::string::npos) {
    return bad("has a control character");
  }
  bool below_root = false;
  for (absl::string_view part : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    if (part == "." || part == "..") return bad("must not contain . or ..");
    below_root = true;
  }
  return below_root ? absl::OkStatus() : bad("must not be the root");
}

absl::Status Write(const std::string& dir, const std::string& file, absl::string_view value) {
  return WriteKernelFile(AT_FDCWD, absl::StrCat(dir, "/", file), value);
}

absl::StatusOr<std::string> Read(const std::string& dir, const std::string& file) {
  ASSIGN_OR_RETURN(std::string text, ReadFile(absl::StrCat(dir, "/", file), kFileLimit));
  absl::StripTrailingAsciiWhitespace(&text);
  return text;
}

absl::StatusOr<uint64_t> ReadKey(const std::string& dir, const std::string& file,
                                 absl::string_view key) {
  ASSIGN_OR_RETURN(const std::string text, Read(dir, file));
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(line, absl::MaxSplits(' ', 1));
    uint64_t value = 0;
    if (pair.first == key && absl::SimpleAtoi(pair.second, &value)) return value;
  }
  return uint64_t{0};
}

bool Exists(const std::string& dir, const std::string& file) {
  return access(absl::StrCat(dir, "/", file).c_str(), F_OK) == 0;
}

absl::StatusOr<std::vector<std::string>> TreeOf(const std::string& dir) {
  std::vector<std::string> tree;
  std::vector<std::string> pending = {dir};
  while (!pending.empty()) {
    const std::string next = std::move(pending.back());
    pending.pop_back();
    absl::StatusOr<std::vector<std::string>> below = SubGroups(next);
    if (!below.ok()) {
      if (IsGone(below.status())) continue;
      return below.status();
    }
    tree.push_back(next);
    for (const std::string& name : *below) pending.push_back(absl::StrCat(next, "/", name));
  }
  return tree;
}

absl::StatusOr<std::vector<pid_t>> ProcessesOf(const std::string& dir) {
  std::vector<pid_t> pids;
  const absl::StatusOr<std::string> text = Read(dir, "cgroup.procs");
  if (!text.ok()) {
    // EOPNOTSUPP: a threaded v2 group, whose processes its domain lists.
    if (IsGone(text.status()) || IsErrno(text.status(), EOPNOTSUPP)) return pids;
    return text.status();
  }
  for (absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
    pid_t pid = 0;
    if (!absl::SimpleAtoi(line, &pid)) {
      return absl::InternalError(absl::StrCat("parse ", dir, "/cgroup.procs: \"", line, "\""));
    }
    if (pid > 0) pids.push_back(pid);  // 0: lives in a pid namespace that this one does not see
  }
  return pids;
}

absl::Status WaitForEvent(const std::string& v2_dir, absl::string_view line, Deadline deadline) {
  ASSIGN_OR_RETURN(const UniqueFd fd, Open(absl::StrCat(v2_dir, "/cgroup.events"), O_RDONLY));
  for (;;) {
    if (lseek(fd.get(), 0, SEEK_SET) != 0) return ErrnoStatus(errno, "rewind cgroup.events");
    ASSIGN_OR_RETURN_CTX(const std::string text, ReadAll(fd.get(), 4096),
                         absl::StrCat("read ", v2_dir, "/cgroup.events"));
    if (absl::StrContains(text, line)) return absl::OkStatus();
    if (deadline.Expired()) {
      return absl::DeadlineExceededError(absl::StrCat("cgroup ", v2_dir, ": no \"", line, "\""));
    }
    // The kernel signals each change after the last read, so none is missed in between.
    pollfd p{fd.get(), POLLPRI, 0};
    if (poll(&p, 1, deadline.PollMillis()) < 0 && errno != EINTR) {
      return ErrnoStatus(errno, absl::StrCat("poll ", v2_dir, "/cgroup.events"));
    }
  }
}

absl::Status WaitUnpopulated(const std::string& v2_dir, Deadline deadline) {
  absl::Status status = WaitForEvent(v2_dir, "populated 0", deadline);
  if (IsGone(status)) return absl::OkStatus();
  if (absl::IsDeadlineExceeded(status)) {
    return absl::DeadlineExceededError(absl::StrCat("cgroup ", v2_dir, " is not empty"));
  }
  return status;
}

}  // namespace berth::os::cgroup_internal

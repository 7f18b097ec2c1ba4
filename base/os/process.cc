#include "base/os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::os {
namespace {

// By number, linux/capability.h.
constexpr const char* kCapabilities[] = {"CHOWN",
                                         "DAC_OVERRIDE",
                                         "DAC_READ_SEARCH",
                                         "FOWNER",
                                         "FSETID",
                                         "KILL",
                                         "SETGID",
                                         "SETUID",
                                         "SETPCAP",
                                         "LINUX_IMMUTABLE",
                                         "NET_BIND_SERVICE",
                                         "NET_BROADCAST",
                                         "NET_ADMIN",
                                         "NET_RAW",
                                         "IPC_LOCK",
                                         "IPC_OWNER",
                                         "SYS_MODULE",
                                         "SYS_RAWIO",
                                         "SYS_CHROOT",
                                         "SYS_PTRACE",
                                         "SYS_PACCT",
                                         "SYS_ADMIN",
                                         "SYS_BOOT",
                                         "SYS_NICE",
                                         "SYS_RESOURCE",
                                         "SYS_TIME",
                                         "SYS_TTY_CONFIG",
                                         "MKNOD",
                                         "LEASE",
                                         "AUDIT_WRITE",
                                         "AUDIT_CONTROL",
                                         "SETFCAP",
                                         "MAC_OVERRIDE",
                                         "MAC_ADMIN",
                                         "SYSLOG",
                                         "WAKE_ALARM",
                                         "BLOCK_SUSPEND",
                                         "AUDIT_READ",
                                         "PERFMON",
                                         "BPF",
                                         "CHECKPOINT_RESTORE"};
constexpr int kCapabilityCount = sizeof kCapabilities / sizeof kCapabilities[0];

struct Stat {
  char state = '?';
  uint64_t start_time = 0;
};

// A process that ends while it is read answers ESRCH, one that has ended ENOENT: both are NotFound.
absl::StatusOr<Stat> ReadStat(pid_t pid) {
  absl::StatusOr<std::string> text = ReadFile(absl::StrCat("/proc/", pid, "/stat"), 4096);
  if (!text.ok()) {
    if (IsErrno(text.status(), ENOENT) || IsErrno(text.status(), ESRCH)) {
      return absl::NotFoundError(absl::StrCat("no process ", pid));
    }
    return text.status();
  }
  // The name may hold anything, parentheses and blanks too: fields count from the last ')'.
  const size_t end = text->rfind(')');
  if (end == std::string::npos || end + 2 >= text->size()) {
    return absl::InternalError(absl::StrCat("parse /proc/", pid, "/stat"));
  }
  const std::vector<absl::string_view> f =
      absl::StrSplit(absl::string_view(*text).substr(end + 2), ' ');
  Stat stat;
  if (f.size() < 20 || f[0].size() != 1 || !absl::SimpleAtoi(f[19], &stat.start_time)) {
    return absl::InternalError(absl::StrCat("parse /proc/", pid, "/stat"));
  }
  stat.state = f[0][0];
  return stat;
}

}  // namespace

absl::StatusOr<uint64_t> StartTime(pid_t pid) {
  ASSIGN_OR_RETURN(const Stat stat, ReadStat(pid));
  return stat.start_time;
}

bool IsDead(pid_t pid) {
  const absl::StatusOr<Stat> stat = ReadStat(pid);
  if (!stat.ok()) return absl::IsNotFound(stat.status());
  return stat->state == 'Z' || stat->state == 'X';
}

absl::StatusOr<UniqueFd> OpenProcess(pid_t pid, uint64_t start_time) {
  UniqueFd fd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!fd.valid()) {
    if (errno == ESRCH) return absl::NotFoundError(absl::StrCat("no process ", pid));
    return ErrnoStatus(errno, absl::StrCat("open process ", pid));
  }
  // The fd holds this very process: if the time read now fits, the pid was not reused before.
  ASSIGN_OR_RETURN(const uint64_t now, StartTime(pid));
  if (now != start_time) {
    return absl::NotFoundError(absl::StrCat("process ", pid, " is another one by now"));
  }
  return fd;
}

absl::StatusOr<UniqueFd> OpenPidNamespace(pid_t pid, uint64_t start_time) {
  absl::StatusOr<UniqueFd> ns = Open(absl::StrCat("/proc/", pid, "/ns/pid"), O_RDONLY);
  // A zombie's is gone too.
  if (IsErrno(ns.status(), ENOENT) || IsErrno(ns.status(), ESRCH)) {
    return absl::NotFoundError(absl::StrCat("no process ", pid));
  }
  RETURN_IF_ERROR(ns.status());
  // Compared last: a process that is still itself was so when the file was opened.
  ASSIGN_OR_RETURN(const uint64_t now, StartTime(pid));
  if (now != start_time) return absl::NotFoundError(absl::StrCat("process ", pid, " is another"));
  return ns;
}

namespace {

// The directory stands for this very process: once that ends nothing is read or written through it.
absl::StatusOr<UniqueFd> OpenProcDir(pid_t pid, uint64_t start_time) {
  absl::StatusOr<UniqueFd> dir = Open(absl::StrCat("/proc/", pid), O_RDONLY | O_DIRECTORY);
  if (IsErrno(dir.status(), ENOENT)) return absl::NotFoundError(absl::StrCat("no process ", pid));
  RETURN_IF_ERROR(dir.status());
  ASSIGN_OR_RETURN(const uint64_t now, StartTime(pid));
  if (now == start_time) return dir;
  return absl::NotFoundError(absl::StrCat("process ", pid, " is another one by now"));
}

}  // namespace

absl::StatusOr<int> OomScoreAdj(pid_t pid, uint64_t start_time) {
  ASSIGN_OR_RETURN(const UniqueFd dir, OpenProcDir(pid, start_time));
  ASSIGN_OR_RETURN(const std::string text, ReadFileAt(dir.get(), "oom_score_adj", 64));
  int value = 0;
  if (!absl::SimpleAtoi(text, &value)) {
    return absl::InternalError(absl::StrCat("parse /proc/", pid, "/oom_score_adj: \"", text, "\""));
  }
  return value;
}

absl::Status SetOomScoreAdj(pid_t pid, uint64_t start_time, int value) {
  ASSIGN_OR_RETURN(const UniqueFd dir, OpenProcDir(pid, start_time));
  return Annotate(WriteKernelFile(dir.get(), "oom_score_adj", absl::StrCat(value)),
                  absl::StrCat("set oom_score_adj of process ", pid));
}

absl::StatusOr<int> CapabilityNumber(absl::string_view name) {
  std::string upper = absl::AsciiStrToUpper(name);
  absl::string_view bare = upper;
  (void)absl::ConsumePrefix(&bare, "CAP_");
  const auto* found = std::find(std::begin(kCapabilities), std::end(kCapabilities), bare);
  if (found == std::end(kCapabilities)) {
    return absl::InvalidArgumentError(absl::StrCat("unknown capability \"", name, "\""));
  }
  const int number = static_cast<int>(found - std::begin(kCapabilities));
  if (number > LastCapability()) {
    return absl::NotFoundError(absl::StrCat("this kernel has no capability \"", name, "\""));
  }
  return number;
}

std::string CapabilityName(int number) {
  if (number < 0 || number >= kCapabilityCount) return absl::StrCat("CAP_", number);
  return absl::StrCat("CAP_", kCapabilities[number]);
}

int LastCapability() {
  static const int last = [] {
    int number = 0;
    const absl::StatusOr<std::string> text = ReadFile("/proc/sys/kernel/cap_last_cap", 16);
    if (text.ok() && absl::SimpleAtoi(*text, &number)) return number;
    // Without /proc: the bounding set refuses a number that the kernel does not know.
    while (prctl(PR_CAPBSET_READ, number + 1, 0, 0, 0) >= 0) ++number;
    return number;
  }();
  return last;
}

absl::StatusOr<uint64_t> BoundingCapabilities() {
  uint64_t mask = 0;
  for (int number = 0; number <= LastCapability() && number < 64; ++number) {
    const int has = prctl(PR_CAPBSET_READ, number, 0, 0, 0);
    if (has < 0) return ErrnoStatus(errno, "read the capability bounding set");
    if (has == 1) mask |= uint64_t{1} << number;
  }
  return mask;
}

std::optional<int> RlimitNumber(absl::string_view name) {
  struct Row {
    absl::string_view name;
    int number;
  };
  static constexpr Row kRows[] = {
      {"RLIMIT_AS", RLIMIT_AS},
      {"RLIMIT_CORE", RLIMIT_CORE},
      {"RLIMIT_CPU", RLIMIT_CPU},
      {"RLIMIT_DATA", RLIMIT_DATA},
      {"RLIMIT_FSIZE", RLIMIT_FSIZE},
      {"RLIMIT_LOCKS", RLIMIT_LOCKS},
      {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
      {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
      {"RLIMIT_NICE", RLIMIT_NICE},
      {"RLIMIT_NOFILE", RLIMIT_NOFILE},
      {"RLIMIT_NPROC", RLIMIT_NPROC},
      {"RLIMIT_RSS", RLIMIT_RSS},
      {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
      {"RLIMIT_RTTIME", RLIMIT_RTTIME},
      {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
      {"RLIMIT_STACK", RLIMIT_STACK},
  };
  for (const Row& row : kRows) {
    if (row.name == name) return row.number;
  }
  return std::nullopt;
}

}  // namespace berth::os

#include "image/worker/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/os/unique_fd.h"
#include "base/status_macros.h"

namespace berth::worker {
namespace {

// Newer than Debian 12's <linux/landlock.h> (Documentation/userspace-api/landlock.rst).
constexpr uint64_t kFsTruncate = 1ull << 14;    // ABI 3, Linux 6.2
constexpr uint64_t kFsIoctlDev = 1ull << 15;    // ABI 5, Linux 6.10
constexpr uint64_t kFsAbi1 = (1ull << 13) - 1;  // EXECUTE .. MAKE_SYM
constexpr uint64_t kNetBindTcp = 1;
constexpr uint64_t kNetTcp = 3;     // ABI 4, Linux 6.7: bind and connect
constexpr uint64_t kScopedAll = 3;  // ABI 6, Linux 6.12: abstract sockets, signals
struct RulesetAttr {
  uint64_t handled_access_fs;
  uint64_t handled_access_net;
  uint64_t scoped;
};

constexpr uint64_t Bit(int capability) { return 1ull << capability; }
// All that layers need but trusted.* attributes, which the daemon sets.
constexpr uint64_t kKept = Bit(CAP_CHOWN) | Bit(CAP_DAC_OVERRIDE) | Bit(CAP_FOWNER) |
                           Bit(CAP_FSETID) | Bit(CAP_SETFCAP) | Bit(CAP_MKNOD);

absl::Status Step(int result, absl::string_view what) {
  return result == 0 ? absl::OkStatus()
                     : os::ErrnoStatus(errno, absl::StrCat("confine the worker: ", what));
}

absl::Status DropCapabilities(uint64_t kept_set) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  RETURN_IF_ERROR(Step(static_cast<int>(syscall(SYS_capget, &header, data)), "read capabilities"));
  const uint64_t have = data[0].permitted | static_cast<uint64_t>(data[1].permitted) << 32;
  if ((have & kept_set) != kept_set) {
    return absl::FailedPreconditionError(
        "confine the worker: it needs the capabilities CHOWN, DAC_OVERRIDE, FOWNER, FSETID, "
        "SETFCAP and MKNOD");
  }
  for (int capability = 0; capability < 64; ++capability) {
    if ((kept_set & Bit(capability)) != 0) continue;
    const int in_bounds = prctl(PR_CAPBSET_READ, capability, 0, 0, 0);
    if (in_bounds < 0) break;  // above the kernel's last one
    if (in_bounds == 0) continue;
    RETURN_IF_ERROR(Step(prctl(PR_CAPBSET_DROP, capability, 0, 0, 0), "drop the bounding set"));
  }
  RETURN_IF_ERROR(
      Step(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "clear ambient capabilities"));
  for (int half = 0; half < 2; ++half) {
    const auto kept = static_cast<uint32_t>(kept_set >> (32 * half));
    data[half] = {.effective = kept, .permitted = kept, .inheritable = 0};
  }
  return Step(static_cast<int>(syscall(SYS_capset, &header, data)), "drop capabilities");
}

absl::Status LimitResource(int resource, uint64_t value, absl::string_view name) {
  rlimit limit;
  RETURN_IF_ERROR(Step(getrlimit(resource, &limit), absl::StrCat("read limit ", name)));
  limit.rlim_max = std::min<rlim_t>(limit.rlim_max, value);
  limit.rlim_cur = limit.rlim_max;
  return Step(setrlimit(resource, &limit), absl::StrCat("set limit ", name));
}

absl::Status LimitResources(uint64_t max_file_bytes) {
  // A file beyond the limit is then EFBIG, an error that names the entry.
  if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR || signal(SIGPIPE, SIG_IGN) == SIG_ERR) {
    return os::ErrnoStatus(errno, "confine the worker: ignore signals");
  }
  RETURN_IF_ERROR(LimitResource(RLIMIT_CORE, 0, "core"));
  RETURN_IF_ERROR(LimitResource(RLIMIT_FSIZE, max_file_bytes, "fsize"));
  RETURN_IF_ERROR(LimitResource(RLIMIT_NOFILE, 4096, "nofile"));
  // The backstop for a parser that allocates what a header tells it to.
  if (kSanitized) return absl::OkStatus();
  return LimitResource(RLIMIT_DATA, 512ull << 20, "data");
}

uint64_t HandledFs(int abi) {
  uint64_t rights = kFsAbi1;
  if (abi >= 2) rights |= LANDLOCK_ACCESS_FS_REFER;
  if (abi >= 3) rights |= kFsTruncate;
  if (abi >= 5) rights |= kFsIoctlDev;
  return rights;
}

absl::Status RestrictFiles(int staging_fd, Confinement* report) {
  const int abi = static_cast<int>(
      syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION));
  if (abi <= 0) {
    report->add_missing("Landlock is not there: files are guarded by seccomp and openat2 alone");
    return absl::OkStatus();
  }
  report->set_landlock_abi(static_cast<uint32_t>(abi));
  if (abi < 2) {
    // Without REFER a ruleset forbids every link into another directory, which layers have.
    report->add_missing(
        "Landlock ABI 1 cannot allow links across directories (Linux 5.19 can): not used");
    return absl::OkStatus();
  }
  const uint64_t rights = HandledFs(abi);
  const RulesetAttr attr = {rights, abi >= 4 ? kNetTcp : 0, abi >= 6 ? kScopedAll : 0};
  const size_t size = abi >= 6 ? sizeof attr : abi >= 4 ? 16 : 8;
  const os::UniqueFd ruleset(
      static_cast<int>(syscall(SYS_landlock_create_ruleset, &attr, size, 0)));
  RETURN_IF_ERROR(Step(ruleset.valid() ? 0 : -1, "create the Landlock ruleset"));
  landlock_path_beneath_attr rule{};
  rule.allowed_access = rights & ~uint64_t{LANDLOCK_ACCESS_FS_EXECUTE} & ~kFsIoctlDev;
  rule.parent_fd = staging_fd;
  RETURN_IF_ERROR(Step(static_cast<int>(syscall(SYS_landlock_add_rule, ruleset.get(),
                                                LANDLOCK_RULE_PATH_BENEATH, &rule, 0)),
                       "allow the staging directory in Landlock"));
  return Step(static_cast<int>(syscall(SYS_landlock_restrict_self, ruleset.get(), 0)),
              "enforce Landlock");
}

// Reads below `readable`, nothing else. Without Landlock the seccomp filter's read-only opens stand
// alone.
absl::Status RestrictToReading(const std::vector<std::string>& readable) {
  const int abi = static_cast<int>(
      syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION));
  if (abi <= 0) return absl::OkStatus();
  // It connects, but never listens.
  const RulesetAttr attr = {HandledFs(abi), abi >= 4 ? kNetBindTcp : 0, abi >= 6 ? kScopedAll : 0};
  const size_t size = abi >= 6 ? sizeof attr : abi >= 4 ? 16 : 8;
  const os::UniqueFd ruleset(
      static_cast<int>(syscall(SYS_landlock_create_ruleset, &attr, size, 0)));
  RETURN_IF_ERROR(Step(ruleset.valid() ? 0 : -1, "create the Landlock ruleset"));
  for (const std::string& path : readable) {
    const os::UniqueFd fd(open(path.c_str(), O_PATH | O_CLOEXEC));
    struct stat st;
    if (!fd.valid() || fstat(fd.get(), &st) != 0) continue;
    landlock_path_beneath_attr rule{};
    rule.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE;
    if (S_ISDIR(st.st_mode)) rule.allowed_access |= LANDLOCK_ACCESS_FS_READ_DIR;
    rule.parent_fd = fd.get();
    RETURN_IF_ERROR(Step(static_cast<int>(syscall(SYS_landlock_add_rule, ruleset.get(),
                                                  LANDLOCK_RULE_PATH_BENEATH, &rule, 0)),
                         absl::StrCat("allow ", path, " in Landlock")));
  }
  return Step(static_cast<int>(syscall(SYS_landlock_restrict_self, ruleset.get(), 0)),
              "enforce Landlock");
}

// What both kinds of process do first.
absl::Status GiveUpPrivileges(uint64_t kept, uint64_t max_file_bytes) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): the worker has one thread yet
  RETURN_IF_ERROR(Step(clearenv(), "clear the environment"));
  umask(0);
  RETURN_IF_ERROR(Step(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "become undumpable"));
  RETURN_IF_ERROR(Step(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "set no_new_privs"));
  RETURN_IF_ERROR(LimitResources(max_file_bytes));
  return DropCapabilities(kept);
}

}  // namespace

absl::Status ConfineFetcher(const std::vector<std::string>& readable) {
  RETURN_IF_ERROR(GiveUpPrivileges(0, 0));
  RETURN_IF_ERROR(RestrictToReading(readable));
  return InstallSeccompFilter(Role::kFetch);
}

absl::StatusOr<Confinement> Confine(int staging_fd, const Limits& limits) {
  Confinement report;
  RETURN_IF_ERROR(GiveUpPrivileges(kKept, limits.max_layer_bytes));
  RETURN_IF_ERROR(RestrictFiles(staging_fd, &report));
  RETURN_IF_ERROR(InstallSeccompFilter(Role::kUnpack));
  return report;
}

}  // namespace berth::worker

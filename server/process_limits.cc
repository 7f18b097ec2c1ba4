#include "server/process_limits.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/resource.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/log.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"

namespace berth::server {
namespace {

constexpr char kOomFile[] = "/proc/self/oom_score_adj";

sigset_t Signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signo : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signo);
  return set;
}

}  // namespace

void BlockSignals() {
  sigset_t set = Signals();
  sigaddset(&set, SIGPIPE);
  (void)pthread_sigmask(SIG_BLOCK, &set, nullptr);  // fails for a bad first argument only
}

int WaitForSignal() {
  const sigset_t set = Signals();
  int signo = 0;
  while (sigwait(&set, &signo) != 0) {
  }
  return signo;
}

// NOLINTNEXTLINE(concurrency-mt-unsafe): called before any other thread is there
void LimitMallocArenas() { (void)mallopt(M_ARENA_MAX, 2); }  // a hint

FileLimit RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return {};
  const FileLimit before = {limit.rlim_cur, limit.rlim_max};
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
    LogWarning("cannot raise the limit of open files", {{"limit", before.hard}});
  }
  return before;
}

void SetOomScore(int64_t wanted) {
  const absl::Status set = os::WriteKernelFile(AT_FDCWD, kOomFile, absl::StrCat(wanted));
  if (set.ok()) return;
  const absl::StatusOr<std::string> now = os::ReadFile(kOomFile, 64);
  // Without CAP_SYS_RESOURCE a process may not go below where it is.
  LogInfo("oom_score_adj stays as it is",
          {{"wanted", wanted},
           {"is", now.ok() ? absl::StripAsciiWhitespace(*now) : absl::string_view("unknown")},
           {"error", set.message()}});
}

}  // namespace berth::server

#include "base/os/user_namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::os {
namespace {

// The child shares this memory, a sanitizer's shadow and thread state included: see spawn.cc.
#if defined(__clang__)
#define BERTH_CHILD_CODE __attribute__((noinline, disable_sanitizer_instrumentation))
#else
#define BERTH_CHILD_CODE __attribute__((noinline, no_sanitize("address", "thread", "undefined")))
#endif

// Waits to be killed, by its parent's end if by nothing else. Every signal is blocked. Its errno is
// its parent's: no call here may fail in a way that sets it.
BERTH_CHILD_CODE int WaitToBeKilled(void* parent) {
  (void)syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0L, 0L, 0L);
  // The parent may have ended before that was set.
  if (syscall(SYS_getppid) != *static_cast<pid_t*>(parent)) {
    for (;;) (void)syscall(SYS_exit_group, 0L);
  }
  for (;;) (void)syscall(SYS_ppoll, nullptr, 0L, nullptr, nullptr, 0L);
}

// A process in new namespaces that does nothing; killed and reaped by the destructor.
class Waiter {
 public:
  explicit Waiter(unsigned long flags) {
    // The fd table is shared: a copy would keep every connection of the daemon open for a while.
    constexpr int kShared = CLONE_VM | CLONE_FILES | SIGCHLD;
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, 8);
    pid_ =
        clone(&WaitToBeKilled, stack_ + sizeof stack_, kShared | static_cast<int>(flags), &parent_);
    error_ = pid_ < 0 ? errno : 0;
    (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, 8);
  }
  ~Waiter() {
    if (pid_ < 0) return;
    // Not reaped yet: the pid is still its own.
    (void)kill(pid_, SIGKILL);
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  int error() const { return error_; }
  std::string Proc(const char* name) const { return absl::StrCat("/proc/", pid_, "/", name); }

 private:
  alignas(16) char stack_[16384];
  pid_t parent_ = getpid();
  pid_t pid_ = -1;
  int error_ = 0;
};

// Nothing says that the kernel takes a map in parts: one write has it all.
absl::Status WriteMap(const std::string& path, const std::vector<IdMapping>& mappings) {
  std::string text;
  for (const IdMapping& m : mappings) {
    absl::StrAppend(&text, m.container_id, " ", m.host_id, " ", m.length, "\n");
  }
  return WriteKernelFile(AT_FDCWD, path, text);
}

}  // namespace

absl::StatusOr<UserNamespaces> MakeUserNamespace(const UserMappings& mappings,
                                                 unsigned long others) {
  const Waiter waiter(CLONE_NEWUSER | others);
  if (waiter.error() != 0) return ErrnoStatus(waiter.error(), "make a user namespace: clone");
  RETURN_IF_ERROR_CTX(WriteMap(waiter.Proc("uid_map"), mappings.uids), "map user ids");
  RETURN_IF_ERROR_CTX(WriteMap(waiter.Proc("gid_map"), mappings.gids), "map group ids");
  UserNamespaces made;
  ASSIGN_OR_RETURN(made.user, Open(waiter.Proc("ns/user"), O_RDONLY));
  if ((others & CLONE_NEWUTS) != 0) {
    ASSIGN_OR_RETURN(made.uts, Open(waiter.Proc("ns/uts"), O_RDONLY));
  }
  if ((others & CLONE_NEWIPC) != 0) {
    ASSIGN_OR_RETURN(made.ipc, Open(waiter.Proc("ns/ipc"), O_RDONLY));
  }
  if ((others & CLONE_NEWNET) != 0) {
    ASSIGN_OR_RETURN(made.net, Open(waiter.Proc("ns/net"), O_RDONLY));
  }
  return made;
}

}  // namespace berth::os

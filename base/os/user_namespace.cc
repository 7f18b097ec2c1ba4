#include "base/os/user_namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
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

constexpr int kEnterTimeoutMs = 10000;

struct Orders {
  pid_t parent;
  int user_fd;  // to enter first; -1 = none
  int said_fd;  // where the result of that is written, an int32_t: 0 or -1
};

// Waits to be killed, by its parent's end if by nothing else. Every signal is blocked. Its errno is
// its parent's, which waits for `said_fd` while a call here may set it.
BERTH_CHILD_CODE int WaitToBeKilled(void* orders_of_parent) {
  const Orders& orders = *static_cast<Orders*>(orders_of_parent);
  (void)syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0L, 0L, 0L);
  // The parent may have ended before that was set.
  if (syscall(SYS_getppid) != orders.parent) {
    for (;;) (void)syscall(SYS_exit_group, 0L);
  }
  if (orders.user_fd >= 0) {
    // The change of namespace clears it.
    const auto result = static_cast<int32_t>(syscall(SYS_setns, orders.user_fd, CLONE_NEWUSER));
    (void)syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0L, 0L, 0L);
    (void)syscall(SYS_write, orders.said_fd, &result, sizeof result);
  }
  for (;;) (void)syscall(SYS_ppoll, nullptr, 0L, nullptr, nullptr, 0L);
}

// A process in new namespaces that does nothing; killed and reaped by the destructor.
class Waiter {
 public:
  explicit Waiter(unsigned long flags, int user_fd = -1, int said_fd = -1)
      : orders_{getpid(), user_fd, said_fd} {
    // The fd table is shared: a copy would keep every connection of the daemon open for a while.
    constexpr int kShared = CLONE_VM | CLONE_FILES | SIGCHLD;
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, 8);
    pid_ =
        clone(&WaitToBeKilled, stack_ + sizeof stack_, kShared | static_cast<int>(flags), &orders_);
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
  Orders orders_;
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

absl::StatusOr<std::vector<IdMapping>> ReadMap(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, 64 << 10));
  std::vector<IdMapping> mappings;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
    IdMapping m;
    if (fields.size() != 3 || !absl::SimpleAtoi(fields[0], &m.container_id) ||
        !absl::SimpleAtoi(fields[1], &m.host_id) || !absl::SimpleAtoi(fields[2], &m.length)) {
      return absl::InternalError(absl::StrCat("read ", path, ": \"", line, "\""));
    }
    mappings.push_back(m);
  }
  return mappings;
}

}  // namespace

absl::StatusOr<UserMappings> ReadUserMappings(int user_fd) {
  int said[2];
  if (pipe2(said, O_CLOEXEC) != 0) return ErrnoStatus(errno, "read user namespace: make pipe");
  const UniqueFd read_end(said[0]);
  const UniqueFd write_end(said[1]);
  const Waiter waiter(0, user_fd, write_end.get());
  if (waiter.error() != 0) return ErrnoStatus(waiter.error(), "read user namespace: clone");
  int32_t result = -1;
  pollfd readable = {read_end.get(), POLLIN, 0};
  // Somebody may have killed it.
  if (poll(&readable, 1, kEnterTimeoutMs) != 1 ||
      read(read_end.get(), &result, sizeof result) != sizeof result || result != 0) {
    return absl::InternalError("read user namespace: it cannot be entered");
  }
  UserMappings mappings;
  ASSIGN_OR_RETURN(mappings.uids, ReadMap(waiter.Proc("uid_map")));
  ASSIGN_OR_RETURN(mappings.gids, ReadMap(waiter.Proc("gid_map")));
  return mappings;
}

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

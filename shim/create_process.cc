#include "shim/create_process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "shim/child/child.h"
#include "shim/child/exec.h"

namespace berth::shim {
namespace {

struct Pipe {
  os::UniqueFd read;
  os::UniqueFd write;
};

absl::StatusOr<Pipe> MakePipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return os::ErrnoStatus(errno, "make pipe");
  return Pipe{os::UniqueFd(fds[0]), os::UniqueFd(fds[1])};
}

// What the spec or the image can bring about is the caller's fault, not ours.
bool IsCallersFault(const child::ChildFailure& failure) {
  switch (failure.step) {
    case child::kStepMount:
    case child::kStepDevice:
    case child::kStepSysctl:
    case child::kStepMask:
    case child::kStepReadonly:
    case child::kStepHostname:
    case child::kStepRlimit:
    case child::kStepUser:
    case child::kStepSeccomp:
      break;
    default:
      return false;
  }
  switch (failure.error) {
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case EINVAL:
    case EEXIST:
    case EXDEV:
    case ENODEV:
    case ENAMETOOLONG:
    case EPERM:
    case ERANGE:
      return true;
    default:
      return false;
  }
}

absl::Status ToStatus(const child::ChildFailure& failure) {
  const std::string what = failure.detail[0] == '\0'
                               ? child::StepName(failure.step)
                               : absl::StrCat(child::StepName(failure.step), ": ", failure.detail);
  const absl::Status status = os::ErrnoStatus(failure.error, what);
  return IsCallersFault(failure) ? WithCode(absl::StatusCode::kInvalidArgument, status, "")
                                 : status;
}

// Names a PID namespace as the one of the next children, until Leave. -1: none is named.
class BirthNamespace {
 public:
  static absl::StatusOr<BirthNamespace> Enter(int fd) {
    BirthNamespace birth;
    if (fd < 0) return birth;
    ASSIGN_OR_RETURN(birth.own_, os::Open("/proc/self/ns/pid", O_RDONLY));
    if (setns(fd, CLONE_NEWPID) != 0) {
      return os::ErrnoStatus(errno, "start first process: enter the pod's PID namespace");
    }
    return birth;
  }
  // No later child, of this program or the next, may be born in there.
  absl::Status Leave() const {
    if (!own_.valid() || setns(own_.get(), CLONE_NEWPID) == 0) return absl::OkStatus();
    return os::ErrnoStatus(errno, "start first process: leave the pod's PID namespace");
  }

 private:
  os::UniqueFd own_;
};

// All of it at once: a ChildFailure is written in one piece.
ssize_t ReadReport(int fd, child::ChildFailure* failure) {
  ssize_t n;
  do {
    n = read(fd, failure, sizeof *failure);
  } while (n < 0 && errno == EINTR);
  return n;
}

}  // namespace

FirstProcess::FirstProcess(FirstProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      pidfd_(std::move(other.pidfd_)),
      pipes_(std::move(other.pipes_)) {}

FirstProcess::~FirstProcess() {
  if (pid_ < 0) return;
  // Both can fail only for a process that is gone.
  (void)syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

absl::StatusOr<FirstProcess> FirstProcess::Start(const std::string& process_plan,
                                                 const std::string& setup_plan,
                                                 const NamespacePlan& namespaces, int cgroup_fd,
                                                 bool with_stdin) {
  ASSIGN_OR_RETURN(Pipe out, MakePipe());
  ASSIGN_OR_RETURN(Pipe err, MakePipe());
  ASSIGN_OR_RETURN(Pipe gate, MakePipe());
  ASSIGN_OR_RETURN(Pipe report, MakePipe());
  Pipe in;
  if (with_stdin) {
    ASSIGN_OR_RETURN(in, MakePipe());
  }
  const auto* process = reinterpret_cast<const child::ProcessPlan*>(process_plan.data());
  std::vector<char*> argv(process->args.count + 1);
  std::vector<char*> envp(process->env.count + 1);
  const child::InitContext context = {
      process,         reinterpret_cast<const child::SetupPlan*>(setup_plan.data()),
      gate.read.get(), report.write.get(),
      in.read.get(),   out.write.get(),
      err.write.get(), argv.data(),
      envp.data()};

  ASSIGN_OR_RETURN(const BirthNamespace birth, BirthNamespace::Enter(namespaces.pid_fd));
  int pidfd = -1;
  clone_args args{};
  args.flags = namespaces.made_by_clone | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  if (cgroup_fd >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(cgroup_fd);
  }
  // No handler of ours runs in the child before it has reset them.
  const unsigned long all = ~0UL;
  unsigned long before = 0;
  (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof all);
  const long pid = syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) child::RunInitChild(context);
  const int error = errno;
  (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, sizeof before);
  const absl::Status left = birth.Leave();
  if (pid < 0) {
    // A PID namespace whose init has ended takes no more processes: ENOMEM, says the kernel.
    return os::ErrnoStatus(error, namespaces.pid_fd >= 0 && error == ENOMEM
                                      ? "start first process: clone3 into the pod's PID namespace, "
                                        "whose init may have ended"
                                      : "start first process: clone3");
  }

  FirstProcess started;
  started.pid_ = static_cast<pid_t>(pid);
  started.pidfd_.reset(pidfd);
  started.pipes_ = {std::move(in.write), std::move(out.read), std::move(err.read),
                    std::move(gate.write), std::move(report.read)};
  RETURN_IF_ERROR(left);
  return started;
}

absl::Status FirstProcess::AwaitGate() const {
  child::ChildFailure failure{};
  const ssize_t n = ReadReport(pipes_.report_read.get(), &failure);
  if (n == static_cast<ssize_t>(sizeof failure)) {
    return failure.step == child::kStepReady ? absl::OkStatus() : ToStatus(failure);
  }
  if (n < 0) return os::ErrnoStatus(errno, "read report of first process");
  return absl::InternalError("first process: killed before it was ready");
}

}  // namespace berth::shim

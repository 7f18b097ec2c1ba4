#include "shim/create_process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/os/network_device.h"
#include "base/status_macros.h"
#include "shim/child/child.h"
#include "shim/child/exec.h"
#include "shim/child/user_namespace.h"

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

// Both ends of what the first process reads and writes.
struct StdioPairs {
  Pipe in, out, err;
  os::UniqueFd console, console_child;
  child::TerminalRequest terminal;
};

absl::StatusOr<StdioPairs> MakeStdio(const FirstProcess::Stdio& stdio) {
  StdioPairs pairs;
  if (stdio.terminal) {
    if (stdio.console_socket < 0) {
      ASSIGN_OR_RETURN(std::tie(pairs.console, pairs.console_child), MakeConsoleSockets());
    }
    pairs.terminal = {stdio.console_socket < 0 ? pairs.console_child.get() : stdio.console_socket,
                      stdio.size.rows, stdio.size.columns};
    return pairs;
  }
  if (stdio.inherited) return pairs;
  ASSIGN_OR_RETURN(pairs.out, MakePipe());
  ASSIGN_OR_RETURN(pairs.err, MakePipe());
  if (stdio.with_stdin) {
    ASSIGN_OR_RETURN(pairs.in, MakePipe());
  }
  return pairs;
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
    case child::kStepLabel:
    case child::kStepScheduler:
    case child::kStepIoPriority:
    case child::kStepAffinity:
    case child::kStepMemoryPolicy:
    case child::kStepPersonality:
    case child::kStepDomainname:
    case child::kStepTimeOffsets:
    case child::kStepTerminal:
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
    case EBUSY:
    case ENOSYS:
    case EOPNOTSUPP:
      return true;
    default:
      return false;
  }
}

absl::Status ToStatus(const child::ChildFailure& failure) {
  const std::string what = failure.detail[0] == '\0'
                               ? child::StepName(failure.step)
                               : absl::StrCat(child::StepName(failure.step), ": ", failure.detail);
  if (failure.error == 0) return absl::FailedPreconditionError(what);  // a hook's own failure
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

clone_args FirstArgs(uint64_t flags, int cgroup_fd, int* pidfd) {
  clone_args args{};
  args.flags = flags | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<uint64_t>(pidfd);
  args.exit_signal = SIGCHLD;
  if (cgroup_fd >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(cgroup_fd);
  }
  return args;
}

// clone3; `child` never returns. The value: a pid, or -errno.
template <typename Child>
long CloneBlocked(clone_args args, const Child& child) {
  // No handler of ours runs in the child before it has reset them.
  const unsigned long all = ~0UL;
  unsigned long before = 0;
  (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, sizeof all);
  long pid = syscall(SYS_clone3, &args, sizeof args);
  if (pid == 0) child();
  if (pid < 0) pid = -errno;
  (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, nullptr, sizeof before);
  return pid;
}

absl::Status CloneError(int error, const NamespacePlan& namespaces) {
  // A PID namespace whose init has ended takes no more processes: ENOMEM, says the kernel.
  return os::ErrnoStatus(error, namespaces.pid_fd >= 0 && error == ENOMEM
                                    ? "start first process: clone3 into the pod's PID namespace, "
                                      "whose init may have ended"
                                    : "start first process: clone3");
}

// Ours, not the child's: inside its user namespace it may not give away what belongs to the host.
absl::Status OwnPipes(const child::InitContext& context) {
  for (const int fd : {context.stdin_fd, context.stdout_fd, context.stderr_fd}) {
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISFIFO(st.st_mode)) continue;
    if (fchown(fd, context.process->stdio_owner, static_cast<gid_t>(-1)) != 0) {
      return os::ErrnoStatus(errno, "give the container its pipes");
    }
  }
  return absl::OkStatus();
}

// One page that a child writes and we read.
class SharedPid {
 public:
  SharedPid()
      : page_(mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {}
  SharedPid(const SharedPid&) = delete;
  SharedPid& operator=(const SharedPid&) = delete;
  ~SharedPid() {
    if (page_ != MAP_FAILED) (void)munmap(page_, kSize);
  }
  // nullptr: there was no memory.
  volatile int32_t* get() const {
    return page_ == MAP_FAILED ? nullptr : static_cast<volatile int32_t*>(page_);
  }

 private:
  static constexpr size_t kSize = 4096;
  void* page_;
};

// By a process in between (child/user_namespace.h): what enters a user namespace cannot come back,
// and only who is inside makes namespaces that belong to it. The value: the pid of our child.
absl::StatusOr<pid_t> StartInUserNamespace(const child::InitContext& context,
                                           const NamespacePlan& namespaces, int cgroup_fd,
                                           int report_fd) {
  const SharedPid shared;
  if (shared.get() == nullptr) return os::ErrnoStatus(errno, "start first process: share memory");
  const child::UserStage stage = {&context, namespaces.made_by_clone, shared.get()};
  int stage_pidfd = -1;
  const long stage_pid =
      CloneBlocked(FirstArgs(0, cgroup_fd, &stage_pidfd), [&] { child::RunUserStage(stage); });
  const os::UniqueFd closed(stage_pidfd);
  if (stage_pid < 0) return CloneError(static_cast<int>(-stage_pid), namespaces);
  while (waitpid(static_cast<pid_t>(stage_pid), nullptr, 0) < 0 && errno == EINTR) {
  }
  if (*shared.get() > 0) return static_cast<pid_t>(*shared.get());
  child::ChildFailure failure{};
  pollfd said{report_fd, POLLIN, 0};
  if (poll(&said, 1, 0) > 0 &&
      ReadReport(report_fd, &failure) == static_cast<ssize_t>(sizeof failure)) {
    return ToStatus(failure);
  }
  return absl::InternalError("start first process: killed on the way into the user namespace");
}

// Room for the longest args and env of a hook.
size_t HookSlots(const child::SetupPlan& setup) {
  size_t most = 0;
  for (const child::Span hooks : {setup.create_hooks, setup.start_hooks}) {
    const auto* plans = child::PlanReader(&setup).Elements<child::HookPlan>(hooks);
    for (uint32_t i = 0; i < hooks.count; ++i) {
      most = std::max<size_t>(most, plans[i].args.count + plans[i].env.count + 2);
    }
  }
  return most;
}

}  // namespace

FirstProcess::FirstProcess(FirstProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      net_devices_(std::move(other.net_devices_)),
      pidfd_(std::move(other.pidfd_)),
      pipes_(std::move(other.pipes_)) {}

FirstProcess::~FirstProcess() {
  if (pid_ < 0) return;
  if (!pidfd_.valid()) (void)kill(pid_, SIGKILL);  // our child, not reaped: the pid is its own
  // Both can fail only for a process that is gone.
  (void)syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

absl::StatusOr<FirstProcess> FirstProcess::Start(const std::string& process_plan,
                                                 const std::string& setup_plan,
                                                 const NamespacePlan& namespaces, int cgroup_fd,
                                                 Options options) {
  Gate& gate = options.gate;
  if (!gate.gate.valid()) {
    ASSIGN_OR_RETURN(gate, MakeGate());
  }
  ASSIGN_OR_RETURN(StdioPairs pairs, MakeStdio(options.stdio));
  const bool inherited = options.stdio.inherited && !options.stdio.terminal;
  const auto* process = reinterpret_cast<const child::ProcessPlan*>(process_plan.data());
  std::vector<char*> argv(process->args.count + 1);
  std::vector<char*> envp(process->env.count + 1);
  const auto* setup = reinterpret_cast<const child::SetupPlan*>(setup_plan.data());
  std::vector<char*> hook_slots(HookSlots(*setup));
  const child::InitContext context = {process,
                                      setup,
                                      gate.gate.get(),
                                      gate.report.get(),
                                      inherited ? STDIN_FILENO : pairs.in.read.get(),
                                      inherited ? STDOUT_FILENO : pairs.out.write.get(),
                                      inherited ? STDERR_FILENO : pairs.err.write.get(),
                                      pairs.terminal,
                                      argv.data(),
                                      envp.data(),
                                      hook_slots.data(),
                                      options.preserved_fds};

  FirstProcess started;
  started.net_devices_ = namespaces.net_devices;
  absl::Status left;
  if (namespaces.user_fd >= 0) {
    RETURN_IF_ERROR(OwnPipes(context));
    ASSIGN_OR_RETURN(started.pid_,
                     StartInUserNamespace(context, namespaces, cgroup_fd, gate.report_read.get()));
    started.pidfd_.reset(static_cast<int>(syscall(SYS_pidfd_open, started.pid_, 0)));
    if (!started.pidfd_.valid()) left = os::ErrnoStatus(errno, "open first process");
  } else {
    ASSIGN_OR_RETURN(const BirthNamespace birth, BirthNamespace::Enter(namespaces.pid_fd));
    int pidfd = -1;
    const long pid = CloneBlocked(FirstArgs(namespaces.made_by_clone, cgroup_fd, &pidfd),
                                  [&] { child::RunInitChild(context); });
    left = birth.Leave();
    if (pid < 0) return CloneError(static_cast<int>(-pid), namespaces);
    started.pid_ = static_cast<pid_t>(pid);
    started.pidfd_.reset(pidfd);
  }
  started.pipes_ = {std::move(pairs.in.write),   std::move(pairs.out.read),
                    std::move(pairs.err.read),   std::move(gate.gate_write),
                    std::move(gate.report_read), std::move(pairs.console)};
  RETURN_IF_ERROR(left);
  return started;
}

absl::StatusOr<FirstProcess::Gate> FirstProcess::MakeGate() {
  ASSIGN_OR_RETURN(Pipe gate, MakePipe());
  ASSIGN_OR_RETURN(Pipe report, MakePipe());
  return Gate{std::move(gate.read), std::move(report.write), std::move(gate.write),
              std::move(report.read)};
}

absl::Status FirstProcess::AwaitHooks() const {
  return Await(child::kStepRuntimeHooks, ListenerAgent());
}

absl::Status FirstProcess::AwaitGate(const ListenerAgent& agent) const {
  return Await(child::kStepReady, agent);
}

absl::Status FirstProcess::OpenGate() const { return shim::OpenGate(pipes_.gate_write.get()); }

absl::Status FirstProcess::AwaitExec() const { return shim::AwaitExec(pipes_.report_read.get()); }

absl::Status OpenGate(int gate_write_fd) { return os::WriteAll(gate_write_fd, "g"); }

absl::Status AwaitExec(int report_read_fd) {
  child::ChildFailure failure{};
  const ssize_t n = ReadReport(report_read_fd, &failure);
  if (n == 0) return absl::OkStatus();
  if (n == static_cast<ssize_t>(sizeof failure)) return ToStatus(failure);
  return os::ErrnoStatus(n < 0 ? errno : EPROTO, "read report of first process");
}

absl::Status HandOverListener(int report_read_fd, const ListenerAgent& agent, pid_t pid,
                              int pidfd) {
  child::ChildFailure failure{};
  if (ReadReport(report_read_fd, &failure) != static_cast<ssize_t>(sizeof failure)) {
    return absl::InternalError("process: killed before it had its filter");
  }
  if (failure.step != child::kStepListener) return ToStatus(failure);
  return agent.HandOver(pid, pidfd, failure.error);
}

absl::Status FirstProcess::Await(uint32_t step, const ListenerAgent& agent) const {
  child::ChildFailure failure{};
  ssize_t n = ReadReport(pipes_.report_read.get(), &failure);
  if (n == static_cast<ssize_t>(sizeof failure) && failure.step == child::kStepListener) {
    RETURN_IF_ERROR(agent.HandOver(pid_, pidfd_.get(), failure.error));
    n = ReadReport(pipes_.report_read.get(), &failure);
  }
  if (n == static_cast<ssize_t>(sizeof failure)) {
    if (failure.step != step) return ToStatus(failure);
    return step == child::kStepReady ? MoveDevices() : absl::OkStatus();
  }
  if (n < 0) return os::ErrnoStatus(errno, "read report of first process");
  return absl::InternalError("first process: killed before it was ready");
}

absl::Status FirstProcess::MoveDevices() const {
  if (net_devices_.empty()) return absl::OkStatus();
  // Only at the gate is it in its network namespace for certain.
  ASSIGN_OR_RETURN(const os::UniqueFd netns,
                   os::Open(absl::StrCat("/proc/", pid_, "/ns/net"), O_RDONLY));
  for (const auto& [name, new_name] : net_devices_) {
    RETURN_IF_ERROR_CTX(os::MoveNetworkDevice(name, netns.get(), new_name), "linux.netDevices");
  }
  return absl::OkStatus();
}

absl::StatusOr<os::UniqueFd> FirstProcess::ReceiveTerminal() const {
  return ReceiveConsole(pipes_.console.get(), Deadline::After(absl::ZeroDuration()));
}

}  // namespace berth::shim

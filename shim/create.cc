#include "shim/create.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/os/process.h"
#include "base/status_macros.h"
#include "shim/create_plan.h"
#include "shim/create_process.h"
#include "shim/launch_wire.h"
#include "shim/listener_agent.h"
#include "shim/monitor/state.h"
#include "shim/overlay.h"
#include "shim/prepare_launch.h"
#include "shim/user_stage.h"

namespace berth::shim {
namespace {

constexpr size_t kMaxDocument = 16 << 20;
constexpr size_t kMaxFilterBytes = 64 << 10;
constexpr char kPlanName[] = "process.plan";

bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }

absl::StatusOr<std::string> ReadSeccomp() {
  if (!IsOpen(kSeccompFd)) return std::string();
  absl::StatusOr<std::string> program = os::ReadAll(kSeccompFd, kMaxFilterBytes);
  return program.ok() ? std::move(program) : Annotate(program.status(), "read seccomp program");
}

// A shim that memory pressure kills takes its container with it; where the daemon may not lower
// the score, its own is the lowest there is.
absl::Status ProtectSelf(int wanted, const Powers& powers) {
  const int score = powers.Has(CAP_SYS_RESOURCE) ? wanted : std::max(wanted, powers.oom_score_adj);
  if (score == powers.oom_score_adj) return absl::OkStatus();
  return os::WriteKernelFile(AT_FDCWD, "/proc/self/oom_score_adj", absl::StrCat(score));
}

// The run directory is this container's alone and nothing reads the plan before the monitor runs,
// so it is written in place.
absl::StatusOr<os::UniqueFd> SavePlan(const std::string& plan) {
  ASSIGN_OR_RETURN(os::UniqueFd fd,
                   os::OpenAt(kRunDirFd, kPlanName, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  RETURN_IF_ERROR_CTX(os::WriteAll(fd.get(), plan), absl::StrCat("write ", kPlanName));
  return fd;
}

void CopyText(const std::string& text, char* out, size_t size) {
  // NOLINTNEXTLINE(bugprone-not-null-terminated-result): the rest of `out` is zero
  std::memcpy(out, text.data(), std::min(text.size(), size - 1));
}

// The container at its gate, as it is handed to the monitor.
struct Created {
  FirstProcess process;
  os::UniqueFd plan;
  os::UniqueFd mount_ns;
  os::UniqueFd mountinfo;
  os::UniqueFd terminal;  // the master; invalid: it has none
  uint64_t start_time = 0;
};

absl::StatusOr<os::DetachedMount> MakeRoot(const LaunchDocument& document,
                                           const NamespacePlan& namespaces) {
  if (namespaces.user_fd < 0) return MakeOverlay("/data", document.root);
  const os::UserMappings& mappings = document.spec.linux_.mappings;
  const std::optional<uint32_t> uid = HostId(mappings.uids, 0);
  const std::optional<uint32_t> gid = HostId(mappings.gids, 0);
  if (!uid.has_value() || !gid.has_value()) {
    return absl::InvalidArgumentError("linux.uidMappings: the container's root is not mapped");
  }
  return MakeMappedOverlay("/data", document.root, {namespaces.user_fd, *uid, *gid});
}

absl::StatusOr<Created> Create(const LaunchDocument& document, const NamespacePlan& namespaces,
                               const ListenerAgent& agent, const Powers& powers) {
  ASSIGN_OR_RETURN(const std::string process_plan, BuildProcessPlan(document, namespaces, powers));
  if (namespaces.user_fd >= 0) RETURN_IF_ERROR(EnterUserStage("/run"));
  ASSIGN_OR_RETURN_CTX(const os::DetachedMount root, MakeRoot(document, namespaces), "mount root");
  ASSIGN_OR_RETURN(const std::string setup_plan,
                   BuildSetupPlan(document, namespaces, {root.get(), "/root"}));
  const oci::Process& spec = document.spec.process;
  FirstProcess::Options options;
  FirstProcess::Stdio& stdio = options.stdio;
  stdio.with_stdin = document.keep_stdin_open;
  stdio.terminal = spec.terminal;
  stdio.size = {spec.console_height, spec.console_width};
  ASSIGN_OR_RETURN(FirstProcess process,
                   FirstProcess::Start(process_plan, setup_plan, namespaces,
                                       document.cgroup_v2 ? kCgroupV2Fd : -1, std::move(options)));
  if (namespaces.user_fd >= 0) RETURN_IF_ERROR(LeaveUserStage(kHolderNsFd));
  // What does not depend on the child is done while it works.
  RETURN_IF_ERROR_CTX(ProtectSelf(document.oom_score_adj, powers), "protect shim");
  ASSIGN_OR_RETURN(os::UniqueFd plan, SavePlan(process_plan));
  const std::string proc = absl::StrCat("/proc/", process.pid());
  ASSIGN_OR_RETURN(const uint64_t start_time, os::StartTime(process.pid()));
  RETURN_IF_ERROR(process.AwaitGate(agent));
  os::UniqueFd terminal;
  if (spec.terminal) {
    ASSIGN_OR_RETURN(terminal, process.ReceiveTerminal());
  }
  ASSIGN_OR_RETURN(os::UniqueFd mount_ns, os::Open(proc + "/ns/mnt", O_RDONLY));
  // Only now: the file shows the mounts below the root that the process had when it was opened.
  ASSIGN_OR_RETURN(os::UniqueFd mountinfo, os::Open(proc + "/mountinfo", O_RDONLY));
  return Created{std::move(process),   std::move(plan),     std::move(mount_ns),
                 std::move(mountinfo), std::move(terminal), start_time};
}

bool HasController(absl::string_view controllers, absl::string_view wanted) {
  for (absl::string_view name : absl::StrSplit(controllers, ',')) {
    if (name == wanted) return true;
  }
  return false;
}

// Where groups of execs change nothing: in a hierarchy without a controller, else by the count of
// processes, which adds up from below. Not in the freezer's, by which the container is killed.
bool TakesExecGroups(absl::string_view controllers) {
  return absl::StartsWith(controllers, "name=") || controllers == "pids";
}

absl::StatusOr<monitor::MonitorState> MakeState(const LaunchDocument& document,
                                                const NamespacePlan& namespaces,
                                                const Created& created) {
  if (document.cgroup_v1.size() > monitor::kMaxCgroupV1) {
    return absl::InternalError(
        absl::StrCat("launch document: ", document.cgroup_v1.size(), " cgroup hierarchies"));
  }
  const FirstProcess::Pipes& pipes = created.process.pipes();
  monitor::MonitorState state{};
  state.version = monitor::kStateVersion;
  CopyText(document.container_id, state.container_id, sizeof state.container_id);
  CopyText(document.boot_id, state.boot_id, sizeof state.boot_id);
  state.init_pid = created.process.pid();
  state.init_pidfd = created.process.pidfd();
  state.listen_fd = kListenFd;
  state.run_dir_fd = kRunDirFd;
  state.stdout_fd = pipes.stdout_read.get();
  state.stderr_fd = pipes.stderr_read.get();
  state.stdin_fd = pipes.stdin_write.get();
  state.terminal_fd = created.terminal.get();
  state.gate_fd = pipes.gate_write.get();
  state.report_fd = pipes.report_read.get();
  state.mount_ns_fd = created.mount_ns.get();
  state.mountinfo_fd = created.mountinfo.get();
  state.own_mount_ns_fd = kHolderNsFd;
  state.plan_fd = created.plan.get();
  state.cgroup_v2_fd = document.cgroup_v2 ? static_cast<int>(kCgroupV2Fd) : -1;
  state.cgroup_v1_memory = -1;
  state.cgroup_v1_exec = -1;
  for (const auto& [controllers, fd] : document.cgroup_v1) {
    if (HasController(controllers, "memory")) state.cgroup_v1_memory = state.cgroup_v1_count;
    if (!document.cgroup_v2 && TakesExecGroups(controllers)) {
      state.cgroup_v1_exec = state.cgroup_v1_count;
    }
    state.cgroup_v1_fds[state.cgroup_v1_count++] = fd;
  }
  const LogLimits& limits = document.log_limits;
  state.log_limits = {limits.file_bytes, limits.rate_bytes, limits.burst_bytes};
  state.private_pid_namespace = (namespaces.all & CLONE_NEWPID) != 0 ? 1 : 0;
  return state;
}

// Descriptors that the monitor works with stay open through the exec, all others close.
absl::Status KeepOnly(const monitor::MonitorState& state, int state_fd) {
  if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) != 0) {
    return os::ErrnoStatus(errno, "mark descriptors");
  }
  std::vector<int> kept = {state_fd,           state.init_pidfd,      state.listen_fd,
                           state.run_dir_fd,   state.stdout_fd,       state.stderr_fd,
                           state.stdin_fd,     state.terminal_fd,     state.log_fd,
                           state.gate_fd,      state.report_fd,       state.mount_ns_fd,
                           state.mountinfo_fd, state.own_mount_ns_fd, state.plan_fd,
                           state.cgroup_v2_fd, state.agent_dir_fd};
  kept.insert(kept.end(), state.cgroup_v1_fds, state.cgroup_v1_fds + state.cgroup_v1_count);
  for (const int fd : kept) {
    if (fd >= 0 && fcntl(fd, F_SETFD, 0) != 0) return os::ErrnoStatus(errno, "keep descriptor");
  }
  return absl::OkStatus();
}

absl::Status Answer(const CreateReply& reply) {
  // The daemon that asked is the only one who would ever use what was made.
  if (send(kControlFd, &reply, sizeof reply, MSG_NOSIGNAL) < 0) {
    return os::ErrnoStatus(errno, "answer the daemon");
  }
  return absl::OkStatus();
}

// A shim that is linked dynamically (sanitizer builds) needs its loader, which the holder namespace
// does not have: it goes back to where it came from first.
#if BERTH_STATIC_SHIM
absl::StatusOr<os::UniqueFd> OpenLoaderNamespace() { return os::UniqueFd(); }
#else
absl::StatusOr<os::UniqueFd> OpenLoaderNamespace() {
  return os::Open("/proc/self/ns/mnt", O_RDONLY);
}
#endif

absl::Status BecomeMonitor(int state_fd, const os::UniqueFd& loader_namespace) {
  if (loader_namespace.valid() && setns(loader_namespace.get(), CLONE_NEWNS) != 0) {
    return os::ErrnoStatus(errno, "leave holder namespace");
  }
  const std::string number = absl::StrCat(state_fd);
  char* const argv[] = {const_cast<char*>("berth-shim"), const_cast<char*>("monitor"),
                        const_cast<char*>(number.c_str()), nullptr};
  char* const envp[] = {nullptr};
  (void)syscall(SYS_execveat, kProgramFd, "", argv, envp, AT_EMPTY_PATH);
  return os::ErrnoStatus(errno, "become the monitor");
}

// *answered: the daemon has had its reply.
absl::Status CreateAndStay(bool* answered) {
  // Orphans of the container come to us (a host pid namespace, execs): survives the execve.
  // Not dumpable: until its execve the first process has this memory, and the container's pid
  // namespace can see it.
  if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    return os::ErrnoStatus(errno, "prepare shim");
  }
  // Before anything is opened, which takes the lowest free number: the log's, where there is none.
  const int log_fd = IsOpen(kLogFd) ? static_cast<int>(kLogFd) : -1;
  ASSIGN_OR_RETURN_CTX(const std::string text, os::ReadAll(kDocumentFd, kMaxDocument),
                       "read launch document");
  ASSIGN_OR_RETURN(LaunchDocument document, ParseLaunchDocument(text));
  ASSIGN_OR_RETURN(document.seccomp.program, ReadSeccomp());
  RETURN_IF_ERROR(CheckOffered(document.spec, {!document.seccomp.program.empty(), false}));
  ASSIGN_OR_RETURN(const ListenerAgent agent, ListenerAgent::Find(document));
  ASSIGN_OR_RETURN(const os::UniqueFd loader_namespace, OpenLoaderNamespace());
  std::vector<os::UniqueFd> held;
  RETURN_IF_ERROR(PrepareNamespaces(&document, &held));
  RETURN_IF_ERROR(PrepareMounts(&document, document.cgroup_v2 ? kCgroupV2Fd : -1, &held));
  ASSIGN_OR_RETURN(const NamespacePlan namespaces, PlanNamespaces(document));
  if (setns(kHolderNsFd, CLONE_NEWNS) != 0) {
    return os::ErrnoStatus(errno, "enter holder namespace");
  }
  ASSIGN_OR_RETURN(const Powers powers, OwnPowers());
  ASSIGN_OR_RETURN(Created created, Create(document, namespaces, agent, powers));
  ASSIGN_OR_RETURN(monitor::MonitorState state, MakeState(document, namespaces, created));
  state.log_fd = log_fd;
  state.agent_dir_fd = agent.directory();
  ASSIGN_OR_RETURN(const os::UniqueFd state_fd,
                   os::MemFdWith("state", absl::string_view(reinterpret_cast<const char*>(&state),
                                                            sizeof state)));
  RETURN_IF_ERROR(KeepOnly(state, state_fd.get()));
  if (chdir("/") != 0) return os::ErrnoStatus(errno, "leave layer directory");
  CreateReply reply;
  reply.init_pid = created.process.pid();
  reply.init_start_time = created.start_time;
  RETURN_IF_ERROR(Answer(reply));
  *answered = true;
  return BecomeMonitor(state_fd.get(), loader_namespace);
}

}  // namespace

int RunCreate() {
  bool answered = false;
  const absl::Status status = CreateAndStay(&answered);
  if (!answered) {
    CreateReply reply;
    reply.code = static_cast<int32_t>(status.code());
    CopyText(std::string(status.message()), reply.message, sizeof reply.message);
    (void)Answer(reply);  // nobody else to tell
  }
  return 1;
}

}  // namespace berth::shim

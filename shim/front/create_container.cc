#include "shim/front/create_container.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/log.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/os/process.h"
#include "base/rollback.h"
#include "base/status_macros.h"
#include "shim/child/plan.h"
#include "shim/console.h"
#include "shim/create_plan.h"
#include "shim/front/capabilities.h"
#include "shim/front/create_flags.h"
#include "shim/front/destroy_container.h"
#include "shim/front/hooks.h"
#include "shim/front/pid_file.h"
#include "shim/front/seccomp.h"
#include "shim/listener_agent.h"
#include "shim/prepare_launch.h"
#include "shim/user_stage.h"

namespace berth::shim::front {
namespace {

// What is known before anything is made.
struct Plan {
  Bundle bundle;
  std::string group;
  Launch launch;
  ListenerAgent agent;  // of a seccomp filter that notifies
  NamespacePlan namespaces;
  std::string process;  // child/plan.h ProcessPlan
};

absl::StatusOr<Plan> MakePlan(const Options& options, const CreateRequest& request) {
  RETURN_IF_ERROR(StateDir::CheckId(request.id));
  Plan plan;
  ASSIGN_OR_RETURN(plan.bundle, ReadBundle(request.bundle));
  oci::Spec& spec = plan.bundle.spec;
  RETURN_IF_ERROR(CheckConsole(spec.process.terminal, request.console_socket, request.stays));
  ASSIGN_OR_RETURN(plan.group, CgroupPathOf(request.id, spec.linux_.cgroups_path));
  for (const std::string& warning : oci::Warnings(spec)) LogWarning(warning);
  DropUngrantable(&spec.process.capabilities);
  AllowDefaultDevices(&spec.linux_.resources);
  ASSIGN_OR_RETURN(SeccompFilter seccomp, CompileSeccomp(options, spec));
  RETURN_IF_ERROR(CheckOffered(spec, {!seccomp.program.empty(), /*hooks=*/true}));
  ASSIGN_OR_RETURN(plan.launch, PrepareLaunch(request.id, spec));
  plan.launch.document.seccomp = std::move(seccomp);
  plan.launch.document.bundle = plan.bundle.path;
  ASSIGN_OR_RETURN(plan.agent, ListenerAgent::Find(plan.launch.document));
  ASSIGN_OR_RETURN(plan.namespaces, PlanNamespaces(plan.launch.document));
  ASSIGN_OR_RETURN(const Powers powers, OwnPowers());
  ASSIGN_OR_RETURN(plan.process, BuildProcessPlan(plan.launch.document, plan.namespaces, powers));
  if (request.no_new_keyring) {
    reinterpret_cast<child::ProcessPlan*>(plan.process.data())->flags |= child::kSameKeyring;
  }
  return plan;
}

absl::StatusOr<ContainerRecord> FirstRecord(const CreateRequest& request, const Plan& plan,
                                            const os::CgroupHost& cgroups) {
  ContainerRecord record;
  record.id = request.id;
  record.oci_version = plan.bundle.spec.oci_version;
  record.bundle = plan.bundle.path;
  record.rootfs = plan.bundle.spec.root_path;
  record.cgroup = plan.group;
  record.cgroup_made = TopmostMissing(cgroups, plan.group);
  record.has_pid_namespace = (plan.namespaces.made_by_clone & CLONE_NEWPID) != 0;
  record.created = absl::FormatTime("%Y-%m-%dT%H:%M:%E9SZ", absl::Now(), absl::UTCTimeZone());
  record.annotations = plan.bundle.spec.annotations;
  ASSIGN_OR_RETURN(record.boot_id, os::BootId());
  record.creator.pid = getpid();
  ASSIGN_OR_RETURN(record.creator.start_time, os::StartTime(record.creator.pid));
  return record;
}

// A mount namespace of its own, for a container in a user namespace; hooks must not see it.
class OwnMounts {
 public:
  absl::Status Enter(const std::string& directory) {
    ASSIGN_OR_RETURN(own_, os::Open("/proc/self/ns/mnt", O_RDONLY));
    return EnterUserStage(directory);
  }
  absl::Status Leave() { return own_.valid() ? LeaveUserStage(own_.get()) : absl::OkStatus(); }

 private:
  os::UniqueFd own_;
};

absl::StatusOr<FirstProcess> StartFirstProcess(const CreateRequest& request, const Plan& plan,
                                               const ContainerRecord& record, const StateDir& dir) {
  const StateText creating = OciState(record, Status::kCreating);
  const HookState hooks = {creating.head, creating.tail, OciState(record, Status::kCreated).tail};
  FirstProcess::Options options;
  options.stdio.inherited = true;
  const oci::Process& spec = plan.launch.document.spec.process;
  os::UniqueFd console;
  if (spec.terminal) {
    if (!request.console_socket.empty()) {
      ASSIGN_OR_RETURN_CTX(console, ConnectConsole(request.console_socket), "--console-socket");
    }
    options.stdio.terminal = true;
    options.stdio.console_socket = console.get();
    options.stdio.size = {spec.console_height, spec.console_width};
  }
  options.preserved_fds = request.preserve_fds;
  if (request.waits_for_start) {
    RETURN_IF_ERROR(dir.MakeGate());
    ASSIGN_OR_RETURN(options.gate, dir.OpenGate());
  }
  OwnMounts own;
  if (plan.namespaces.user_fd >= 0) RETURN_IF_ERROR(own.Enter(record.rootfs));
  ASSIGN_OR_RETURN(const std::string setup,
                   BuildSetupPlan(plan.launch.document, plan.namespaces,
                                  {plan.launch.root.get(), record.rootfs, &hooks}));
  // Until its execve the first process has this memory, and the container can see it.
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return os::ErrnoStatus(errno, "prepare");
  ASSIGN_OR_RETURN(FirstProcess process,
                   FirstProcess::Start(plan.process, setup, plan.namespaces,
                                       plan.launch.cgroup_v2_fd, std::move(options)));
  RETURN_IF_ERROR(own.Leave());
  return process;
}

absl::Status RunCreateHooks(const oci::Hooks& hooks, const ContainerRecord& record,
                            const FirstProcess& process) {
  if (hooks.prestart.empty() && hooks.create_runtime.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(process.AwaitHooks());
  const std::string state = OciState(record, Status::kCreating).With(process.pid());
  RETURN_IF_ERROR(RunHooks("prestart", hooks.prestart, state));
  RETURN_IF_ERROR(RunHooks("createRuntime", hooks.create_runtime, state));
  return process.OpenGate();
}

}  // namespace

absl::StatusOr<CreatedContainer> CreateContainer(const Options& options,
                                                 const CreateRequest& request) {
  ASSIGN_OR_RETURN(Plan plan, MakePlan(options, request));
  const oci::Hooks& hooks = plan.bundle.spec.hooks;
  ASSIGN_OR_RETURN(os::CgroupHost cgroups, os::CgroupHost::Probe());
  ASSIGN_OR_RETURN(ContainerRecord record, FirstRecord(request, plan, cgroups));
  ASSIGN_OR_RETURN(StateDir dir, StateDir::Make(options.root, request.id));
  if (const absl::Status unused = CheckUnused(cgroups, plan.group); !unused.ok()) {
    // Nothing but the directory is ours: what is in the group must live on.
    const absl::Status removed = dir.Remove();
    return removed.ok() ? unused : removed;
  }
  bool has_run_hooks = false;
  Rollback undo(absl::StrCat("create container ", request.id), absl::Seconds(60));
  undo.Add("destroy container", [&] {
    absl::Status destroyed = DestroyContainer(cgroups, record, &dir);
    if (has_run_hooks) RunPoststopHooks(record, hooks);
    return destroyed;
  });
  RETURN_IF_ERROR(dir.WriteConfig(plan.bundle.config));
  RETURN_IF_ERROR(dir.WriteRecord(record));
  RETURN_IF_ERROR_CTX(MakeGroup(cgroups, record, plan.bundle.spec.linux_.resources),
                      "linux.resources");
  RETURN_IF_ERROR(AddCgroup(cgroups, record.cgroup, &plan.launch));
  RETURN_IF_ERROR(
      PrepareMounts(&plan.launch.document, plan.launch.cgroup_v2_fd, &plan.launch.held));
  ASSIGN_OR_RETURN(FirstProcess process, StartFirstProcess(request, plan, record, dir));
  record.process.pid = process.pid();
  ASSIGN_OR_RETURN(record.process.start_time, os::StartTime(process.pid()));
  has_run_hooks =
      !hooks.prestart.empty() || !hooks.create_runtime.empty() || !hooks.create_container.empty();
  RETURN_IF_ERROR(RunCreateHooks(hooks, record, process));
  RETURN_IF_ERROR(process.AwaitGate(plan.agent));
  record.stage = Stage::kCreated;
  RETURN_IF_ERROR(dir.WriteRecord(record));
  RETURN_IF_ERROR(WritePidFile(request.pid_file, process.pid()));
  std::move(undo).Commit();
  return CreatedContainer{std::move(dir), std::move(record), std::move(plan.bundle.spec),
                          std::move(cgroups), std::move(process)};
}

}  // namespace berth::shim::front

#include "sandbox/spec.h"

#include "base/status_macros.h"
#include "sandbox/spec_process.h"
#include "sandbox/spec_resources.h"
#include "sandbox/spec_user.h"
#include "sandbox/user_mappings.h"

namespace berth::sandbox {
namespace {

using shim::oci::Namespace;
using shim::oci::NamespaceType;

absl::Status BuildProcess(const Core& core, const SpecInputs& in, shim::oci::Process* process) {
  const cri::LinuxContainerSecurityContext& security = in.config.linux().security_context();
  ASSIGN_OR_RETURN(ContainerUser user,
                   ResolveContainerUser(security, in.image.config, in.lowers, core.resolve_user));
  ASSIGN_OR_RETURN(process->args, ResolveCommand(in.config, in.image.config));
  ASSIGN_OR_RETURN(process->cwd, ResolveWorkingDir(in.config, in.image.config));
  ASSIGN_OR_RETURN(process->env,
                   ResolveEnv(in.config, in.image.config, in.pod_record.hostname(), user.home));
  ASSIGN_OR_RETURN(process->oom_score_adj,
                   ToOomScoreAdj(in.config.linux().resources(), core.facts.lowest_oom_score_adj));
  process->terminal = in.config.tty();
  process->user = std::move(user.user);
  process->no_new_privileges = security.no_new_privs();
  process->rlimits = core.options.default_rlimits;
  return absl::OkStatus();
}

std::vector<Namespace> Namespaces(const SpecInputs& in, bool in_user_namespace) {
  // A container that says nothing about namespaces has the pod's way.
  const cri::LinuxContainerSecurityContext& security = in.config.linux().security_context();
  const cri::NamespaceOption& asked =
      security.has_namespace_options()
          ? security.namespace_options()
          : in.pod_config.linux().security_context().namespace_options();
  // Network, IPC and UTS are the pod's, joined by fd, or the host's.
  std::vector<Namespace> namespaces = {Namespace{NamespaceType::kMount, ""},
                                       Namespace{NamespaceType::kUts, ""},
                                       Namespace{NamespaceType::kCgroup, ""}};
  if (in.pod_record.private_ipc()) namespaces.push_back(Namespace{NamespaceType::kIpc, ""});
  if (!in.pod_record.network_path().empty()) {
    namespaces.push_back(Namespace{NamespaceType::kNetwork, ""});
  }
  if (asked.pid() != cri::NODE) namespaces.push_back(Namespace{NamespaceType::kPid, ""});
  if (in_user_namespace) namespaces.push_back(Namespace{NamespaceType::kUser, ""});
  return namespaces;
}

}  // namespace

absl::StatusOr<ContainerSpec> BuildSpec(const Core& core, const SpecInputs& in) {
  const cri::LinuxContainerConfig& linux_config = in.config.linux();
  const cri::LinuxContainerSecurityContext& security = linux_config.security_context();
  ContainerSpec built;
  shim::oci::Spec& spec = built.spec;
  RETURN_IF_ERROR(BuildProcess(core, in, &spec.process));
  ASSIGN_OR_RETURN(CapabilitySets capabilities, ToCapabilities(security, core.facts.capabilities));
  spec.process.capabilities = std::move(capabilities.names);
  built.capabilities = capabilities.bounding;
  ASSIGN_OR_RETURN(built.seccomp, ToSeccomp(security));
  RETURN_IF_ERROR(CheckAppArmor(security, core.facts.has_apparmor));
  ASSIGN_OR_RETURN(spec.linux_.mappings, PodUserMappings(in.pod_config));
  const bool in_user_namespace = !spec.linux_.mappings.empty();
  ASSIGN_OR_RETURN(GuardedPaths guarded, ToGuardedPaths(linux_config, in_user_namespace));
  spec.linux_.masked_paths = std::move(guarded.masked);
  spec.linux_.readonly_paths = std::move(guarded.readonly);
  ASSIGN_OR_RETURN(
      PlannedMounts mounts,
      PlanMounts(in.config, MountOptions{in.pod_dir, in.pod_record.private_ipc(),
                                         security.privileged(), security.readonly_rootfs(),
                                         spec.linux_.mappings, core.facts.has_selinux}));
  spec.mounts = std::move(mounts.mounts);
  built.trees = std::move(mounts.trees);
  ASSIGN_OR_RETURN(spec.linux_.resources,
                   ToCgroupLimits(linux_config.resources(), core.facts.cgroup_layout));
  spec.linux_.resources.devices = DeviceRules(security.privileged());
  if (security.privileged()) {
    ASSIGN_OR_RETURN(spec.linux_.devices, core.host->Devices());
  }
  spec.linux_.namespaces = Namespaces(in, in_user_namespace);
  spec.linux_.cgroups_path = in.cgroups_path;
  spec.root_readonly = security.readonly_rootfs();
  return built;
}

}  // namespace berth::sandbox

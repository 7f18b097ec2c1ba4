#include <sched.h>
#include <sys/mount.h>

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "shim/child/plan.h"
#include "shim/create_mounts.h"
#include "shim/create_plan.h"
#include "shim/plan_builder.h"

namespace berth::shim {
namespace {

constexpr size_t kMaxUtsName = 64;  // __NEW_UTS_LEN

using Pairs = std::vector<std::pair<std::string, std::string>>;

absl::StatusOr<uint64_t> RootPropagation(const std::string& name) {
  if (name.empty() || name == "private" || name == "rprivate") return 0;
  if (name == "slave" || name == "rslave") return MS_SLAVE;
  if (name == "shared" || name == "rshared") return MS_SHARED;
  if (name == "unbindable" || name == "runbindable") return MS_UNBINDABLE;
  return absl::InvalidArgumentError(absl::StrCat("linux.rootfsPropagation: unknown: ", name));
}

// The namespace that confines a sysctl, 0 when it is the host's.
uint64_t SysctlNamespace(absl::string_view key) {
  if (absl::StartsWith(key, "net/")) return CLONE_NEWNET;
  if (absl::StartsWith(key, "fs/mqueue/") || absl::StartsWith(key, "kernel/msg") ||
      absl::StartsWith(key, "kernel/shm") || key == "kernel/sem") {
    return CLONE_NEWIPC;
  }
  return key == "kernel/domainname" || key == "kernel/hostname" ? CLONE_NEWUTS : 0;
}

// sysctl(8): the first separator decides; with dots first, a slash stands for a dot in a name.
std::string SysctlPath(std::string key) {
  const size_t first = key.find_first_of("./");
  if (first == std::string::npos || key[first] == '/') return key;
  for (char& c : key) c = c == '.' ? '/' : c == '/' ? '.' : c;
  return key;
}

absl::StatusOr<Pairs> PlanSysctls(const oci::Linux& spec, const NamespacePlan& namespaces) {
  Pairs pairs;
  for (const auto& [key, value] : spec.sysctl) {
    const std::string path = SysctlPath(key);
    const std::string where = absl::StrCat("linux.sysctl[\"", key, "\"]");
    if (absl::StrContains(path, "..") || value.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": malformed"));
    }
    const uint64_t needed = SysctlNamespace(path);
    if (needed == 0 || (namespaces.own & needed) == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(where, ": is not confined to a namespace of the container"));
    }
    pairs.emplace_back(absl::StrCat("sys/", path), value);
  }
  return pairs;
}

// hostname or domainname. 0: none is named.
absl::StatusOr<child::Text> PlanUtsName(const std::string& name, absl::string_view path,
                                        const NamespacePlan& namespaces,
                                        child::PlanBuilder* builder) {
  if (name.empty()) return child::Text{0};
  if ((namespaces.own & CLONE_NEWUTS) == 0) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": needs a UTS namespace"));
  }
  if (name.size() > kMaxUtsName || absl::StrContains(name, absl::string_view("\0", 1))) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": longer than ", kMaxUtsName, " bytes, or not a text"));
  }
  return builder->AddText(name);
}

// The text for /proc/PID/timens_offsets, "" = none.
absl::StatusOr<std::string> TimeOffsets(const std::map<std::string, oci::TimeOffset>& offsets) {
  std::string text;
  for (const auto& [clock, offset] : offsets) {
    if (clock != "monotonic" && clock != "boottime") {
      return absl::InvalidArgumentError(
          absl::StrCat("linux.timeOffsets: unknown clock \"", clock, "\""));
    }
    absl::StrAppend(&text, clock, " ", offset.secs, " ", offset.nanosecs, "\n");
  }
  return text;
}

child::Span PlanHooks(const char* kind, const std::vector<oci::Hook>& hooks,
                      child::PlanBuilder* builder) {
  std::vector<child::HookPlan> plans;
  for (size_t i = 0; i < hooks.size(); ++i) {
    const oci::Hook& hook = hooks[i];
    child::HookPlan plan{};
    plan.name = builder->AddText(absl::StrCat("hooks.", kind, "[", i, "]"));
    plan.path = builder->AddText(hook.path);
    plan.args =
        builder->AddTexts(hook.args.empty() ? std::vector<std::string>{hook.path} : hook.args);
    plan.env = builder->AddTexts(hook.env);
    plan.timeout_seconds = static_cast<uint32_t>(hook.timeout_seconds.value_or(0));
    plans.push_back(plan);
  }
  return builder->AddArray(plans);
}

void PlanAllHooks(const oci::Hooks& hooks, const HookState& state, child::PlanBuilder* builder,
                  child::SetupPlan* plan) {
  plan->wait_for_hooks = hooks.prestart.empty() && hooks.create_runtime.empty() ? 0 : 1;
  plan->create_hooks = PlanHooks("createContainer", hooks.create_container, builder);
  plan->start_hooks = PlanHooks("startContainer", hooks.start_container, builder);
  if (plan->create_hooks.count + plan->start_hooks.count == 0) return;
  plan->state_head = builder->AddText(state.head);
  plan->creating_tail = builder->AddText(state.creating_tail);
  plan->created_tail = builder->AddText(state.created_tail);
}

}  // namespace

absl::StatusOr<std::string> BuildSetupPlan(const LaunchDocument& document,
                                           const NamespacePlan& namespaces,
                                           const SetupOptions& options) {
  const oci::Spec& spec = document.spec;
  child::SetupPlan plan{};
  child::PlanBuilder builder(sizeof plan);
  plan.magic = child::kSetupMagic;
  plan.version = child::kPlanVersion;
  plan.new_cgroup_namespace = namespaces.new_cgroup ? 1 : 0;
  plan.new_time_namespace = namespaces.new_time ? 1 : 0;
  ASSIGN_OR_RETURN(const std::string offsets, TimeOffsets(spec.linux_.time_offsets));
  if (!offsets.empty()) plan.time_offsets = builder.AddText(offsets);
  std::vector<int32_t> directories;
  for (const auto& [controllers, fd] : document.cgroup_v1) directories.push_back(fd);
  plan.cgroup_v1 = builder.AddArray(directories);
  std::vector<child::JoinPlan> join;
  for (const auto& [type, fd] : document.namespaces) {
    const uint64_t flag = NamespaceFlag(type);
    if (flag == CLONE_NEWPID || flag == CLONE_NEWUSER) continue;  // it was born there
    if (flag == CLONE_NEWNS) continue;
    if ((namespaces.all & flag) != 0) join.push_back({fd, static_cast<uint32_t>(flag)});
  }
  plan.join = builder.AddArray(join);
  plan.mount_ns_fd = namespaces.mount_fd;
  ASSIGN_OR_RETURN(plan.hostname, PlanUtsName(spec.hostname, "hostname", namespaces, &builder));
  ASSIGN_OR_RETURN(plan.domainname,
                   PlanUtsName(spec.domainname, "domainname", namespaces, &builder));
  plan.user_fd = namespaces.user_fd;
  plan.pid_fd = namespaces.pid_fd;
  plan.bind_console = HasHostDev(spec) ? 0 : 1;
  plan.root_fd = options.root_fd;
  plan.root_target = builder.AddText(options.root_target);
  if (options.hooks != nullptr) PlanAllHooks(spec.hooks, *options.hooks, &builder, &plan);
  plan.root_readonly = spec.root_readonly ? 1 : 0;
  ASSIGN_OR_RETURN(plan.root_propagation, RootPropagation(spec.linux_.rootfs_propagation));
  Pairs links;
  ASSIGN_OR_RETURN(const std::vector<child::MountPlan> mounts,
                   PlanMounts(document, namespaces, &builder, &links));
  plan.mounts = builder.AddArray(mounts);
  ASSIGN_OR_RETURN(const std::vector<child::DevicePlan> devices,
                   PlanDevices(spec, namespaces, options.root_target, &builder));
  plan.devices = builder.AddArray(devices);
  AddDeviceLinks(spec, &links);
  plan.links = builder.AddPairs(links);
  ASSIGN_OR_RETURN(const Pairs sysctls, PlanSysctls(spec.linux_, namespaces));
  plan.sysctls = builder.AddPairs(sysctls);
  plan.masked = builder.AddTexts(spec.linux_.masked_paths);
  plan.readonly = builder.AddTexts(spec.linux_.readonly_paths);
  return std::move(builder).Finish(plan);
}

}  // namespace berth::shim

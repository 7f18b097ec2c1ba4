#include "shim/create_plan.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/os/namespace_file.h"
#include "base/os/network_device.h"
#include "base/os/process.h"
#include "base/status_macros.h"
#include "shim/child/plan.h"
#include "shim/listener_agent.h"
#include "shim/plan_builder.h"
#include "shim/process_attributes.h"

namespace berth::shim {
namespace {

using child::PlanBuilder;
using oci::NamespaceType;

constexpr char kDefaultPath[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr size_t kMaxFilter = 4096;  // BPF_MAXINSNS

absl::Status CheckNoNul(const std::vector<std::string>& texts, absl::string_view path) {
  for (size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].find('\0') != std::string::npos) {
      return absl::InvalidArgumentError(absl::StrCat(path, "[", i, "]: contains a NUL byte"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<child::RlimitEntry>> PlanRlimits(const std::vector<oci::Rlimit>& limits,
                                                            const Powers& powers) {
  std::vector<child::RlimitEntry> entries;
  for (size_t i = 0; i < limits.size(); ++i) {
    const std::string path = absl::StrCat("process.rlimits[", i, "]");
    const std::optional<int> number = os::RlimitNumber(limits[i].type);
    if (!number.has_value()) {
      return absl::InvalidArgumentError(absl::StrCat(path, ".type: unknown: ", limits[i].type));
    }
    rlimit own;
    if (!powers.Has(CAP_SYS_RESOURCE) &&
        getrlimit(static_cast<__rlimit_resource_t>(*number), &own) == 0 &&
        limits[i].hard > own.rlim_max) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ".hard: ", limits[i].type, " ", limits[i].hard,
                       " is above this host's hard limit ", own.rlim_max));
    }
    entries.push_back({static_cast<uint32_t>(*number), 0, limits[i].soft, limits[i].hard});
  }
  return entries;
}

absl::StatusOr<uint64_t> CapabilityMask(const std::vector<std::string>& names,
                                        absl::string_view set, const Powers& powers) {
  uint64_t mask = 0;
  for (const std::string& name : names) {
    const absl::StatusOr<int> number = os::CapabilityNumber(name);
    // This kernel has no such power to give: oci::Warnings names it.
    if (!number.ok()) continue;
    if (!powers.Has(*number)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "process.capabilities.", set, ": ", name, " is not among the daemon's own capabilities"));
    }
    mask |= uint64_t{1} << *number;
  }
  return mask;
}

absl::Status PlanCapabilities(const oci::Capabilities& in, const Powers& powers,
                              child::ProcessPlan* out) {
  ASSIGN_OR_RETURN(out->bounding, CapabilityMask(in.bounding, "bounding", powers));
  ASSIGN_OR_RETURN(out->permitted, CapabilityMask(in.permitted, "permitted", powers));
  ASSIGN_OR_RETURN(out->effective, CapabilityMask(in.effective, "effective", powers));
  ASSIGN_OR_RETURN(out->inheritable, CapabilityMask(in.inheritable, "inheritable", powers));
  ASSIGN_OR_RETURN(out->ambient, CapabilityMask(in.ambient, "ambient", powers));
  if ((out->effective & ~out->permitted) != 0) {
    return absl::InvalidArgumentError(
        "process.capabilities.effective: must be a subset of permitted");
  }
  if ((out->inheritable & ~out->bounding) != 0) {
    return absl::InvalidArgumentError(
        "process.capabilities.inheritable: must be a subset of bounding");
  }
  if ((out->ambient & ~(out->permitted & out->inheritable)) != 0) {
    return absl::InvalidArgumentError(
        "process.capabilities.ambient: must be a subset of permitted and inheritable");
  }
  return absl::OkStatus();
}

int HandedFd(const LaunchDocument& document, NamespaceType type) {
  for (const auto& [handed, fd] : document.namespaces) {
    if (handed == type) return fd;
  }
  return -1;
}

// One namespace: joined by `fd`, or a new one where that is -1.
absl::Status PlanNamespace(uint64_t flag, int fd, NamespacePlan* plan) {
  plan->all |= flag;
  if (flag == CLONE_NEWUSER) {
    plan->user_fd = fd;
    plan->own |= flag;
    return absl::OkStatus();
  }
  if (fd < 0) {
    plan->own |= flag;
    plan->new_cgroup |= flag == CLONE_NEWCGROUP;
    plan->new_time |= flag == CLONE_NEWTIME;
    if (flag != CLONE_NEWCGROUP && flag != CLONE_NEWTIME) plan->made_by_clone |= flag;
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const bool is_runtimes, os::IsOwnNamespace(fd, flag));
  if (!is_runtimes) plan->own |= flag;
  if (flag == CLONE_NEWPID) plan->pid_fd = fd;
  if (flag == CLONE_NEWNS) plan->mount_fd = fd;
  return absl::OkStatus();
}

bool IsDeviceName(const std::string& name) {
  return !name.empty() && name.size() < IF_NAMESIZE && name != "." && name != ".." &&
         name.find_first_of("/: \t\n") == std::string::npos;
}

absl::Status PlanNetDevices(const std::map<std::string, std::string>& devices,
                            NamespacePlan* plan) {
  std::set<std::string> taken;
  for (const auto& [name, new_name] : devices) {
    const std::string path = absl::StrCat("linux.netDevices[\"", name, "\"]");
    const std::string& wanted = new_name.empty() ? name : new_name;
    if ((plan->own & CLONE_NEWNET) == 0) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": needs a network namespace"));
    }
    if (!IsDeviceName(name) || !os::HasNetworkDevice(name)) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": the host has no such device"));
    }
    const bool is_template = absl::StrContains(wanted, "%d");
    if (!IsDeviceName(wanted) || (!is_template && !taken.insert(wanted).second)) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ".name: \"", wanted, "\" is no name, or named twice"));
    }
  }
  plan->net_devices = devices;
  return absl::OkStatus();
}

// The host's number of the process's user. InvalidArgument: an id of it is not mapped.
absl::StatusOr<uint32_t> MappedUser(const oci::Spec& spec) {
  const oci::User& user = spec.process.user;
  const os::UserMappings& mappings = spec.linux_.mappings;
  std::vector<gid_t> groups = user.additional_gids;
  groups.push_back(user.gid);
  for (const gid_t gid : groups) {
    if (!HostId(mappings.gids, gid).has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat("process.user: group ", gid, " is not mapped in the user namespace"));
    }
  }
  const std::optional<uint32_t> uid = HostId(mappings.uids, user.uid);
  if (uid.has_value()) return *uid;
  return absl::InvalidArgumentError(
      absl::StrCat("process.user.uid: ", user.uid, " is not mapped in the user namespace"));
}

absl::Status PlanSeccomp(const LaunchDocument& document, PlanBuilder* builder,
                         child::ProcessPlan* out) {
  const SeccompFilter& filter = document.seccomp;
  const size_t instructions = filter.program.size() / sizeof(sock_filter);
  if (instructions * sizeof(sock_filter) != filter.program.size() || instructions > kMaxFilter) {
    return absl::InvalidArgumentError(
        absl::StrCat("seccomp program: ", filter.program.size(), " bytes are not a filter"));
  }
  out->seccomp_flags = filter.flags;
  out->seccomp = builder->AddBytes(filter.program, static_cast<uint32_t>(instructions));
  if ((filter.flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) == 0) return absl::OkStatus();
  out->listener_path = builder->AddText(filter.listener_path);
  out->exec_state = builder->AddText(ProcessStateHead(document, "running"));
  return absl::OkStatus();
}

std::string SearchPath(const std::vector<std::string>& env) {
  std::string path = kDefaultPath;
  for (const std::string& variable : env) {
    absl::string_view value = variable;
    if (absl::ConsumePrefix(&value, "PATH=")) path = std::string(value);
  }
  return path;
}

}  // namespace

absl::StatusOr<Powers> OwnPowers() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  if (syscall(SYS_capget, &header, data) != 0) return os::ErrnoStatus(errno, "read capabilities");
  Powers powers;
  powers.capabilities = data[0].permitted | (static_cast<uint64_t>(data[1].permitted) << 32);
  ASSIGN_OR_RETURN(const std::string score, os::ReadFile("/proc/self/oom_score_adj", 64));
  if (!absl::SimpleAtoi(score, &powers.oom_score_adj)) {
    return absl::InternalError(absl::StrCat("read /proc/self/oom_score_adj: ", score));
  }
  return powers;
}

absl::StatusOr<NamespacePlan> PlanNamespaces(const LaunchDocument& document) {
  NamespacePlan plan;
  const std::vector<oci::Namespace>& namespaces = document.spec.linux_.namespaces;
  for (size_t i = 0; i < namespaces.size(); ++i) {
    const std::string path = absl::StrCat("linux.namespaces[", i, "]");
    const uint64_t flag = NamespaceFlag(namespaces[i].type);
    const int fd = HandedFd(document, namespaces[i].type);
    if (fd < 0 && (!namespaces[i].path.empty() || flag == CLONE_NEWUSER)) {
      return absl::InternalError(absl::StrCat(path, ": was not opened"));
    }
    RETURN_IF_ERROR_CTX(PlanNamespace(flag, fd, &plan), path);
  }
  if ((plan.user_fd >= 0) == document.spec.linux_.mappings.empty()) {
    return absl::InvalidArgumentError(
        "linux.uidMappings: they and a user namespace are needed together");
  }
  if ((plan.own & CLONE_NEWNS) == 0) {
    return absl::InvalidArgumentError(
        "linux.namespaces: a mount namespace that is not the runtime's is required");
  }
  if (!document.spec.linux_.time_offsets.empty() && !plan.new_time) {
    return absl::InvalidArgumentError("linux.timeOffsets: needs a new time namespace");
  }
  RETURN_IF_ERROR(PlanNetDevices(document.spec.linux_.net_devices, &plan));
  return plan;
}

std::optional<uint32_t> HostId(const std::vector<os::IdMapping>& mappings, uint32_t id) {
  if (mappings.empty()) return id;
  for (const os::IdMapping& m : mappings) {
    if (id >= m.container_id && id - m.container_id < m.length) {
      return m.host_id + (id - m.container_id);
    }
  }
  return std::nullopt;
}

absl::StatusOr<std::string> BuildProcessPlan(const LaunchDocument& document,
                                             const NamespacePlan& namespaces,
                                             const Powers& powers) {
  const oci::Spec& spec = document.spec;
  const oci::Process& process = spec.process;
  RETURN_IF_ERROR(CheckNoNul(process.args, "process.args"));
  RETURN_IF_ERROR(CheckNoNul(process.env, "process.env"));
  child::ProcessPlan plan{};
  plan.magic = child::kProcessMagic;
  plan.version = child::kPlanVersion;
  if (process.no_new_privileges) plan.flags |= child::kNoNewPrivs;
  if ((namespaces.all & CLONE_NEWPID) != 0) plan.flags |= child::kPrivatePidNamespace;
  plan.namespaces = namespaces.all;
  if (namespaces.user_fd >= 0) plan.flags |= child::kUserNamespace;
  ASSIGN_OR_RETURN(plan.stdio_owner, MappedUser(spec));
  plan.uid = process.user.uid;
  plan.gid = process.user.gid;
  plan.umask = process.user.umask.value_or(0022) & 0777;
  // Lower than the daemon's own needs CAP_SYS_RESOURCE; without it the daemon's own stays.
  plan.oom_score_adj = process.oom_score_adj.value_or(powers.oom_score_adj);
  if (!powers.Has(CAP_SYS_RESOURCE)) {
    plan.oom_score_adj = std::max(plan.oom_score_adj, powers.oom_score_adj);
  }
  RETURN_IF_ERROR(PlanCapabilities(process.capabilities, powers, &plan));
  PlanBuilder builder(sizeof plan);
  RETURN_IF_ERROR(
      PlanAttributes(spec, ProbeHostAttributes(spec), namespaces.user_fd >= 0, &builder, &plan));
  plan.groups = builder.AddArray(process.user.additional_gids);
  ASSIGN_OR_RETURN(const std::vector<child::RlimitEntry> rlimits,
                   PlanRlimits(process.rlimits, powers));
  plan.rlimits = builder.AddArray(rlimits);
  plan.args = builder.AddTexts(process.args);
  plan.env = builder.AddTexts(process.env);
  plan.cwd = builder.AddText(process.cwd);
  plan.search_path = builder.AddText(SearchPath(process.env));
  RETURN_IF_ERROR(PlanSeccomp(document, &builder, &plan));
  return std::move(builder).Finish(plan);
}

}  // namespace berth::shim

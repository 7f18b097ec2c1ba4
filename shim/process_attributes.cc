#include "shim/process_attributes.h"

#include <errno.h>
#include <linux/ioprio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <iterator>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/os/security_module.h"
#include "base/status_macros.h"

namespace berth::shim {
namespace {

using child::PlanBuilder;
using child::ProcessPlan;

constexpr uint32_t kMaxBit = 8191;  // the largest CONFIG_NR_CPUS is 8192

struct Name {
  const char* name;
  uint64_t value;
};

// include/uapi/linux/sched.h, mempolicy.h, personality.h, ioprio.h. Not all are in Debian 12's.
constexpr uint32_t kSchedOther = 0, kSchedFifo = 1, kSchedRr = 2, kSchedBatch = 3, kSchedIso = 4,
                   kSchedIdle = 5, kSchedDeadline = 6;
constexpr Name kPolicies[] = {
    {"SCHED_OTHER", kSchedOther},      {"SCHED_FIFO", kSchedFifo}, {"SCHED_RR", kSchedRr},
    {"SCHED_BATCH", kSchedBatch},      {"SCHED_ISO", kSchedIso},   {"SCHED_IDLE", kSchedIdle},
    {"SCHED_DEADLINE", kSchedDeadline}};
constexpr Name kSchedulerFlags[] = {
    {"SCHED_FLAG_RESET_ON_FORK", 0x01}, {"SCHED_FLAG_RECLAIM", 0x02},
    {"SCHED_FLAG_DL_OVERRUN", 0x04},    {"SCHED_FLAG_KEEP_POLICY", 0x08},
    {"SCHED_FLAG_KEEP_PARAMS", 0x10},   {"SCHED_FLAG_UTIL_CLAMP_MIN", 0x20},
    {"SCHED_FLAG_UTIL_CLAMP_MAX", 0x40}};
constexpr Name kIoClasses[] = {{"IOPRIO_CLASS_RT", IOPRIO_CLASS_RT},
                               {"IOPRIO_CLASS_BE", IOPRIO_CLASS_BE},
                               {"IOPRIO_CLASS_IDLE", IOPRIO_CLASS_IDLE}};
constexpr uint32_t kMpolDefault = 0, kMpolPreferred = 1, kMpolBind = 2, kMpolInterleave = 3,
                   kMpolLocal = 4, kMpolPreferredMany = 5, kMpolWeightedInterleave = 6;
constexpr Name kMemoryModes[] = {{"MPOL_DEFAULT", kMpolDefault},
                                 {"MPOL_PREFERRED", kMpolPreferred},
                                 {"MPOL_BIND", kMpolBind},
                                 {"MPOL_INTERLEAVE", kMpolInterleave},
                                 {"MPOL_LOCAL", kMpolLocal},
                                 {"MPOL_PREFERRED_MANY", kMpolPreferredMany},
                                 {"MPOL_WEIGHTED_INTERLEAVE", kMpolWeightedInterleave}};
constexpr Name kMemoryFlags[] = {{"MPOL_F_STATIC_NODES", 1 << 15},
                                 {"MPOL_F_RELATIVE_NODES", 1 << 14},
                                 {"MPOL_F_NUMA_BALANCING", 1 << 13}};
constexpr Name kDomains[] = {{"LINUX", 0x0000}, {"LINUX32", 0x0008}};

template <size_t N>
absl::StatusOr<uint64_t> Value(const Name (&names)[N], absl::string_view name,
                               absl::string_view path) {
  for (const Name& known : names) {
    if (name == known.name) return known.value;
  }
  return absl::InvalidArgumentError(absl::StrCat(path, ": unknown: \"", name, "\""));
}

template <size_t N>
absl::StatusOr<uint64_t> Flags(const Name (&names)[N], const std::vector<std::string>& flags,
                               absl::string_view path) {
  uint64_t all = 0;
  for (size_t i = 0; i < flags.size(); ++i) {
    ASSIGN_OR_RETURN(const uint64_t value, Value(names, flags[i], absl::StrCat(path, "[", i, "]")));
    all |= value;
  }
  return all;
}

absl::Status Invalid(absl::string_view path, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", why));
}

absl::Status PlanScheduler(const oci::Scheduler& in, bool in_user_namespace, PlanBuilder* builder,
                           ProcessPlan* plan) {
  child::SchedulerEntry entry{};
  entry.size = sizeof entry;
  ASSIGN_OR_RETURN(const uint64_t policy, Value(kPolicies, in.policy, "process.scheduler.policy"));
  entry.policy = static_cast<uint32_t>(policy);
  ASSIGN_OR_RETURN(entry.flags, Flags(kSchedulerFlags, in.flags, "process.scheduler.flags"));
  if (policy == kSchedIso) {
    return Invalid("process.scheduler.policy", "SCHED_ISO: Linux reserves it and has it not");
  }
  if (policy == kSchedDeadline && in_user_namespace) {
    return Invalid("process.scheduler.policy",
                   "SCHED_DEADLINE: not in a user namespace, which has no such power");
  }
  const bool real_time = policy == kSchedFifo || policy == kSchedRr;
  if (real_time ? in.priority < 1 || in.priority > 99 : in.priority != 0) {
    return Invalid("process.scheduler.priority",
                   absl::StrCat(in.priority, " is none of ", in.policy,
                                real_time ? ", which has 1 to 99" : ", which has only 0"));
  }
  if (in.nice < -20 || in.nice > 19) {
    return Invalid("process.scheduler.nice", absl::StrCat(in.nice, " is not from -20 to 19"));
  }
  if (policy == kSchedDeadline) {
    const uint64_t period = in.period_ns == 0 ? in.deadline_ns : in.period_ns;
    if (in.runtime_ns == 0 || in.runtime_ns > in.deadline_ns || in.deadline_ns > period) {
      return Invalid("process.scheduler.runtime", "0 < runtime <= deadline <= period must hold");
    }
  } else if (in.runtime_ns != 0 || in.deadline_ns != 0 || in.period_ns != 0) {
    return Invalid(
        "process.scheduler.runtime",
        absl::StrCat("runtime, deadline and period are SCHED_DEADLINE's, not ", in.policy, "'s"));
  }
  entry.nice = in.nice;
  entry.priority = static_cast<uint32_t>(in.priority);
  entry.runtime = in.runtime_ns;
  entry.deadline = in.deadline_ns;
  entry.period = in.period_ns;
  plan->scheduler = builder->AddArray(std::vector<child::SchedulerEntry>{entry});
  return absl::OkStatus();
}

absl::Status PlanIoPriority(const oci::IoPriority& in, ProcessPlan* plan) {
  ASSIGN_OR_RETURN(const uint64_t io_class,
                   Value(kIoClasses, in.io_class, "process.ioPriority.class"));
  if (in.priority < 0 || in.priority > 7) {
    return Invalid("process.ioPriority.priority", absl::StrCat(in.priority, " is not from 0 to 7"));
  }
  plan->io_priority =
      static_cast<uint32_t>(io_class << IOPRIO_CLASS_SHIFT) | static_cast<uint32_t>(in.priority);
  return absl::OkStatus();
}

absl::StatusOr<child::Span> PlanCpus(const std::string& list, absl::string_view path,
                                     PlanBuilder* builder) {
  if (list.empty()) return child::Span{};
  ASSIGN_OR_RETURN_CTX(const std::vector<uint64_t> mask, ParseBitList(list), path);
  return builder->AddArray(mask);
}

absl::Status PlanMemoryPolicy(const oci::MemoryPolicy& in, const HostAttributes& host,
                              PlanBuilder* builder, ProcessPlan* plan) {
  ASSIGN_OR_RETURN(const uint64_t mode, Value(kMemoryModes, in.mode, "linux.memoryPolicy.mode"));
  ASSIGN_OR_RETURN(const uint64_t flags, Flags(kMemoryFlags, in.flags, "linux.memoryPolicy.flags"));
  if (!host.memory_policy) {
    return Invalid("linux.memoryPolicy", "this kernel is built without NUMA");
  }
  const bool takes_none = mode == kMpolDefault || mode == kMpolLocal;
  if (takes_none && (!in.nodes.empty() || flags != 0)) {
    return Invalid("linux.memoryPolicy.nodes", absl::StrCat(in.mode, " takes no nodes or flags"));
  }
  if (!takes_none && mode != kMpolPreferred && in.nodes.empty()) {
    return Invalid("linux.memoryPolicy.nodes", absl::StrCat(in.mode, " needs at least one node"));
  }
  plan->memory_policy = static_cast<uint32_t>(mode | flags);
  if (!in.nodes.empty()) {
    ASSIGN_OR_RETURN_CTX(const std::vector<uint64_t> mask, ParseBitList(in.nodes),
                         "linux.memoryPolicy.nodes");
    plan->memory_nodes = builder->AddArray(mask);
  }
  return absl::OkStatus();
}

absl::Status PlanLabels(const oci::Process& process, const HostAttributes& host,
                        PlanBuilder* builder, ProcessPlan* plan) {
  for (const auto& [text, path] : {std::make_pair(process.apparmor_profile, "apparmorProfile"),
                                   std::make_pair(process.selinux_label, "selinuxLabel")}) {
    if (text.find('\0') != std::string::npos) {
      return Invalid(absl::StrCat("process.", path), "contains a NUL byte");
    }
  }
  // Where there is no AppArmor everything is unconfined.
  const bool wants_profile = !process.apparmor_profile.empty() &&
                             (host.apparmor || process.apparmor_profile != "unconfined");
  if (wants_profile && !host.apparmor) {
    return Invalid("process.apparmorProfile",
                   absl::StrCat(process.apparmor_profile, ": AppArmor is not on on this host"));
  }
  if (wants_profile) {
    plan->apparmor = builder->AddText(absl::StrCat("exec ", process.apparmor_profile));
  }
  if (process.selinux_label.empty()) return absl::OkStatus();
  if (!host.selinux) {
    return Invalid("process.selinuxLabel",
                   absl::StrCat(process.selinux_label, ": SELinux is not on on this host"));
  }
  plan->selinux = builder->AddText(process.selinux_label);
  return absl::OkStatus();
}

}  // namespace

HostAttributes ProbeHostAttributes(const oci::Spec& spec) {
  HostAttributes host;
  host.apparmor = !spec.process.apparmor_profile.empty() && os::AppArmorIsOn();
  host.selinux = !spec.process.selinux_label.empty() && os::SelinuxIsOn();
  host.memory_policy =
      spec.linux_.memory_policy.has_value() &&
      (syscall(SYS_get_mempolicy, nullptr, nullptr, 0UL, nullptr, 0UL) == 0 || errno != ENOSYS);
  return host;
}

absl::StatusOr<std::vector<uint64_t>> ParseBitList(absl::string_view list) {
  const auto refuse = [&] {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", list, "\" is no list of numbers up to ", kMaxBit, " and ranges"));
  };
  std::vector<uint64_t> words;
  for (absl::string_view part : absl::StrSplit(list, ',')) {
    const std::vector<absl::string_view> ends = absl::StrSplit(part, '-');
    uint32_t first = 0;
    uint32_t last = 0;
    if (ends.size() > 2 || !absl::SimpleAtoi(ends.front(), &first) ||
        !absl::SimpleAtoi(ends.back(), &last) || first > last || last > kMaxBit) {
      return refuse();
    }
    if (words.size() <= last / 64) words.resize(last / 64 + 1);
    for (uint32_t bit = first; bit <= last; ++bit) words[bit / 64] |= uint64_t{1} << (bit % 64);
  }
  return words;
}

absl::Status PlanAttributes(const oci::Spec& spec, const HostAttributes& host,
                            bool in_user_namespace, PlanBuilder* builder, ProcessPlan* plan) {
  const oci::Process& process = spec.process;
  plan->io_priority = child::kUnchanged;
  plan->memory_policy = child::kUnchanged;
  plan->personality = child::kUnchanged;
  if (process.scheduler.has_value()) {
    RETURN_IF_ERROR(PlanScheduler(*process.scheduler, in_user_namespace, builder, plan));
  }
  if (process.io_priority.has_value()) {
    RETURN_IF_ERROR(PlanIoPriority(*process.io_priority, plan));
  }
  const oci::CpuAffinity& cpus = process.exec_cpu_affinity;
  ASSIGN_OR_RETURN(plan->exec_affinity_initial,
                   PlanCpus(cpus.initial, "process.execCPUAffinity.initial", builder));
  ASSIGN_OR_RETURN(plan->exec_affinity_final,
                   PlanCpus(cpus.final_, "process.execCPUAffinity.final", builder));
  if (spec.linux_.memory_policy.has_value()) {
    RETURN_IF_ERROR(PlanMemoryPolicy(*spec.linux_.memory_policy, host, builder, plan));
  }
  if (spec.linux_.personality.has_value()) {
    const oci::Personality& personality = *spec.linux_.personality;
    ASSIGN_OR_RETURN(const uint64_t domain,
                     Value(kDomains, personality.domain, "linux.personality.domain"));
    if (!personality.flags.empty()) {
      return Invalid("linux.personality.flags[0]", "the specification has no flags");
    }
    plan->personality = static_cast<uint32_t>(domain);
  }
  return PlanLabels(process, host, builder, plan);
}

}  // namespace berth::shim

// The scheduling, memory and label attributes of a spec as elements of a ProcessPlan (config.md,
// "Linux Process"; config-linux.md, "Memory policy", "Personality"). Pure but for the probes that
// `host` stands for; thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "shim/child/plan.h"
#include "shim/oci/spec.h"
#include "shim/plan_builder.h"

namespace berth::shim {

struct HostAttributes {
  bool apparmor = false;
  bool selinux = false;
  bool memory_policy = false;  // the kernel knows set_mempolicy(2)
};
// Asks for what the spec needs alone: each question costs every create.
HostAttributes ProbeHostAttributes(const oci::Spec& spec);

// "0-3,7" as a bit mask of 64-bit words, up to number 8191. InvalidArgument when it is no such list
// or names nothing.
absl::StatusOr<std::vector<uint64_t>> ParseBitList(absl::string_view list);

// InvalidArgument names the JSON path of what Linux has not or this host cannot do.
// `in_user_namespace`: the process has no privileges of the host.
absl::Status PlanAttributes(const oci::Spec& spec, const HostAttributes& host,
                            bool in_user_namespace, child::PlanBuilder* builder,
                            child::ProcessPlan* plan);

}  // namespace berth::shim

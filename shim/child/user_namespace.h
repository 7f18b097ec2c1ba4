// Into a user namespace: what has to be done before, with the host's privileges, and the birth of a
// process whose other namespaces are owned by it. Part of shim/child.
#pragma once

#include "shim/child/child.h"
#include "shim/child/plan.h"

namespace berth::shim::child {

// Room for the highest hard limits of the plan: raising one takes CAP_SYS_RESOURCE of the host. The
// soft ones stay as they are until AssumeIdentity.
void RaiseHardLimits(const ProcessPlan& plan, int report_fd);

// setns(2) gave all capabilities in the user namespace and left the host's ids: from here on it is
// the namespace's root, still not dumpable.
void BecomeNamespaceRoot(int report_fd);

struct UserStage {
  const InitContext* init;
  uint64_t namespaces;    // CLONE_NEW* that the first process gets new
  volatile int32_t* pid;  // where its pid is told: memory shared with the caller of clone3
};

// The process in between. It is born with the shim's privileges, in the container's v2 cgroup, and
// ends once the first process is there, as a child of the shim (CLONE_PARENT).
[[noreturn]] void RunUserStage(const UserStage& stage);

}  // namespace berth::shim::child

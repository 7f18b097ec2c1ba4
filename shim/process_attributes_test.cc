// What the scheduling, memory and label attributes of a spec become, and what is refused by name.
#include "shim/process_attributes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace berth::shim {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;

struct Planned {
  absl::Status status;
  std::string buffer;
  const child::ProcessPlan& plan() const {
    return *reinterpret_cast<const child::ProcessPlan*>(buffer.data());
  }
  child::PlanReader reader() const { return child::PlanReader(buffer.data()); }
};

Planned Plan(const oci::Spec& spec, const HostAttributes& host, bool in_user_namespace = false) {
  child::ProcessPlan plan{};
  child::PlanBuilder builder(sizeof plan);
  Planned planned;
  planned.status = PlanAttributes(spec, host, in_user_namespace, &builder, &plan);
  planned.buffer = std::move(builder).Finish(plan);
  return planned;
}

constexpr HostAttributes kAll = {true, true, true};

TEST(ProcessAttributesTest, WhatIsNotNamedIsLeftAlone) {
  const Planned planned = Plan({}, kAll);
  ASSERT_TRUE(planned.status.ok());
  EXPECT_EQ(planned.plan().scheduler.count, 0U);
  EXPECT_EQ(planned.plan().io_priority, child::kUnchanged);
  EXPECT_EQ(planned.plan().memory_policy, child::kUnchanged);
  EXPECT_EQ(planned.plan().personality, child::kUnchanged);
  EXPECT_EQ(planned.plan().exec_affinity_initial.count, 0U);
  EXPECT_EQ(planned.plan().apparmor, 0U);
  EXPECT_EQ(planned.plan().selinux, 0U);
}

TEST(ProcessAttributesTest, EachBecomesWhatTheKernelTakes) {
  oci::Spec spec;
  spec.process.scheduler = oci::Scheduler{};
  spec.process.scheduler->policy = "SCHED_DEADLINE";
  spec.process.scheduler->flags = {"SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM"};
  spec.process.scheduler->runtime_ns = 1000000;
  spec.process.scheduler->deadline_ns = 2000000;
  spec.process.scheduler->period_ns = 3000000;
  spec.process.io_priority = oci::IoPriority{"IOPRIO_CLASS_IDLE", 7};
  spec.process.exec_cpu_affinity = {"0-2,65", "1"};
  spec.linux_.memory_policy = oci::MemoryPolicy{"MPOL_BIND", "0,3", {"MPOL_F_STATIC_NODES"}};
  spec.linux_.personality = oci::Personality{"LINUX32", {}};
  spec.process.apparmor_profile = "profile";
  spec.process.selinux_label = "a:b:c:s0";
  const Planned planned = Plan(spec, kAll);
  ASSERT_TRUE(planned.status.ok()) << planned.status;
  const child::ProcessPlan& plan = planned.plan();
  ASSERT_EQ(plan.scheduler.count, 1U);
  const auto& scheduler = *planned.reader().Elements<child::SchedulerEntry>(plan.scheduler);
  EXPECT_EQ(scheduler.size, 56U);
  EXPECT_EQ(scheduler.policy, 6U);
  EXPECT_EQ(scheduler.flags, 3U);
  EXPECT_EQ(scheduler.period, 3000000U);
  EXPECT_EQ(plan.io_priority, (3U << 13) | 7U);
  ASSERT_EQ(plan.exec_affinity_initial.count, 2U);
  const auto* initial = planned.reader().Elements<uint64_t>(plan.exec_affinity_initial);
  EXPECT_EQ(initial[0], 7U);
  EXPECT_EQ(initial[1], 2U);
  EXPECT_EQ(*planned.reader().Elements<uint64_t>(plan.exec_affinity_final), 2U);
  EXPECT_EQ(plan.memory_policy, 2U | 1U << 15);
  EXPECT_EQ(*planned.reader().Elements<uint64_t>(plan.memory_nodes), 9U);
  EXPECT_EQ(plan.personality, 8U);
  EXPECT_STREQ(planned.reader().TextAt(plan.apparmor), "exec profile");
  EXPECT_STREQ(planned.reader().TextAt(plan.selinux), "a:b:c:s0");
}

TEST(ProcessAttributesTest, WithoutAppArmorEverythingIsUnconfined) {
  oci::Spec spec;
  spec.process.apparmor_profile = "unconfined";
  const Planned planned = Plan(spec, {});
  EXPECT_TRUE(planned.status.ok()) << planned.status;
  EXPECT_EQ(planned.plan().apparmor, 0U);
}

struct Refusal {
  const char* path;
  std::function<void(oci::Spec*)> change;
};

oci::Scheduler Policy(const std::string& policy, int priority) {
  oci::Scheduler scheduler;
  scheduler.policy = policy;
  scheduler.priority = priority;
  return scheduler;
}

TEST(ProcessAttributesTest, WhatLinuxHasNotIsRefusedByItsPath) {
  const Refusal refusals[] = {
      {"process.scheduler.policy: unknown: \"SCHED_MOON\"",
       [](oci::Spec* s) { s->process.scheduler = Policy("SCHED_MOON", 0); }},
      {"process.scheduler.policy: SCHED_ISO",
       [](oci::Spec* s) { s->process.scheduler = Policy("SCHED_ISO", 0); }},
      {"process.scheduler.priority: 0 is none of SCHED_FIFO",
       [](oci::Spec* s) { s->process.scheduler = Policy("SCHED_FIFO", 0); }},
      {"process.scheduler.priority: 1 is none of SCHED_BATCH",
       [](oci::Spec* s) { s->process.scheduler = Policy("SCHED_BATCH", 1); }},
      {"process.scheduler.nice: 20",
       [](oci::Spec* s) {
         s->process.scheduler = Policy("SCHED_OTHER", 0);
         s->process.scheduler->nice = 20;
       }},
      {"process.scheduler.flags[0]: unknown",
       [](oci::Spec* s) {
         s->process.scheduler = Policy("SCHED_OTHER", 0);
         s->process.scheduler->flags = {"SCHED_FLAG_MOON"};
       }},
      {"process.scheduler.runtime: 0 < runtime",
       [](oci::Spec* s) { s->process.scheduler = Policy("SCHED_DEADLINE", 0); }},
      {"process.ioPriority.class: unknown",
       [](oci::Spec* s) {
         s->process.io_priority = oci::IoPriority{"IOPRIO_CLASS_NONE", 0};
       }},
      {"process.ioPriority.priority: 8",
       [](oci::Spec* s) {
         s->process.io_priority = oci::IoPriority{"IOPRIO_CLASS_BE", 8};
       }},
      {"process.execCPUAffinity.initial: \"0-\"",
       [](oci::Spec* s) { s->process.exec_cpu_affinity.initial = "0-"; }},
      {"process.execCPUAffinity.final: \"3-1\"",
       [](oci::Spec* s) { s->process.exec_cpu_affinity.final_ = "3-1"; }},
      {"linux.memoryPolicy.mode: unknown",
       [](oci::Spec* s) {
         s->linux_.memory_policy = oci::MemoryPolicy{"MPOL_MOON", "", {}};
       }},
      {"linux.memoryPolicy.nodes: MPOL_BIND needs",
       [](oci::Spec* s) {
         s->linux_.memory_policy = oci::MemoryPolicy{"MPOL_BIND", "", {}};
       }},
      {"linux.memoryPolicy.nodes: MPOL_LOCAL takes no",
       [](oci::Spec* s) {
         s->linux_.memory_policy = oci::MemoryPolicy{"MPOL_LOCAL", "0", {}};
       }},
      {"linux.personality.domain: unknown",
       [](oci::Spec* s) {
         s->linux_.personality = oci::Personality{"BSD", {}};
       }},
      {"linux.personality.flags[0]",
       [](oci::Spec* s) {
         s->linux_.personality = oci::Personality{"LINUX", {"X"}};
       }},
  };
  for (const Refusal& refusal : refusals) {
    oci::Spec spec;
    refusal.change(&spec);
    const absl::Status status = Plan(spec, kAll).status;
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << refusal.path;
    EXPECT_THAT(std::string(status.message()), StartsWith(refusal.path));
  }
}

TEST(ProcessAttributesTest, WhatThisHostHasNotIsRefusedByItsPath) {
  oci::Spec apparmor;
  apparmor.process.apparmor_profile = "berth-default";
  EXPECT_THAT(std::string(Plan(apparmor, {}).status.message()),
              StartsWith("process.apparmorProfile: berth-default: AppArmor is not on"));
  oci::Spec selinux;
  selinux.process.selinux_label = "a:b:c:s0";
  EXPECT_THAT(std::string(Plan(selinux, {}).status.message()),
              StartsWith("process.selinuxLabel: a:b:c:s0: SELinux is not on"));
  oci::Spec memory;
  memory.linux_.memory_policy = oci::MemoryPolicy{"MPOL_LOCAL", "", {}};
  EXPECT_THAT(std::string(Plan(memory, {}).status.message()), StartsWith("linux.memoryPolicy: "));
  oci::Spec deadline;
  deadline.process.scheduler = Policy("SCHED_DEADLINE", 0);
  EXPECT_THAT(std::string(Plan(deadline, kAll, true).status.message()),
              StartsWith("process.scheduler.policy: SCHED_DEADLINE: not in a user namespace"));
}

TEST(ProcessAttributesTest, ABitListIsNumbersAndRanges) {
  EXPECT_THAT(ParseBitList("0-3,7").value(), ElementsAre(0x8fU));
  EXPECT_THAT(ParseBitList("64").value(), ElementsAre(0U, 1U));
  EXPECT_EQ(ParseBitList("8191")->size(), 128U);
  for (const char* bad : {"", ",", "1,", "a", "1-2-3", "-1", "2-1", "8192", "0-4294967296"}) {
    EXPECT_FALSE(ParseBitList(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace berth::shim

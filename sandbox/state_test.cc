#include "sandbox/state.h"

#include <gtest/gtest.h>

#include <map>

namespace berth::sandbox {
namespace {

using CS = ContainerState;
using CE = ContainerEvent;
using PS = PodState;
using PE = PodEvent;

TEST(ContainerStateTest, EveryPairGivesWhatTheTableSays) {
  const std::map<std::pair<CS, CE>, CS> allowed = {
      {{CS::kCreating, CE::kCreateDone}, CS::kCreated},
      {{CS::kCreated, CE::kStartDone}, CS::kRunning},
      {{CS::kCreated, CE::kStartFailed}, CS::kExited},
      {{CS::kCreated, CE::kExit}, CS::kExited},
      {{CS::kRunning, CE::kExit}, CS::kExited},
      {{CS::kCreating, CE::kRemove}, CS::kRemoving},
      {{CS::kCreated, CE::kRemove}, CS::kRemoving},
      {{CS::kExited, CE::kRemove}, CS::kRemoving},
      {{CS::kRemoving, CE::kRemove}, CS::kRemoving},
  };
  for (CS from : {CS::kCreating, CS::kCreated, CS::kRunning, CS::kExited, CS::kRemoving}) {
    for (CE event : {CE::kCreateDone, CE::kStartDone, CE::kStartFailed, CE::kExit, CE::kRemove}) {
      const auto next = Next(from, event);
      const auto want = allowed.find({from, event});
      ASSERT_EQ(next.ok(), want != allowed.end()) << Name(from) << " + " << Name(event);
      if (next.ok()) {
        EXPECT_EQ(*next, want->second);
      } else {
        EXPECT_EQ(next.status().code(), absl::StatusCode::kFailedPrecondition);
      }
    }
  }
}

TEST(PodStateTest, EveryPairGivesWhatTheTableSays) {
  const std::map<std::pair<PS, PE>, PS> allowed = {
      {{PS::kCreating, PE::kRunDone}, PS::kReady},
      {{PS::kCreating, PE::kRunFailed}, PS::kNotReady},
      {{PS::kReady, PE::kStop}, PS::kNotReady},
      {{PS::kNotReady, PE::kStop}, PS::kNotReady},
      {{PS::kCreating, PE::kRemove}, PS::kRemoving},
      {{PS::kNotReady, PE::kRemove}, PS::kRemoving},
      {{PS::kRemoving, PE::kRemove}, PS::kRemoving},
  };
  for (PS from : {PS::kCreating, PS::kReady, PS::kNotReady, PS::kRemoving}) {
    for (PE event : {PE::kRunDone, PE::kRunFailed, PE::kStop, PE::kRemove}) {
      const auto next = Next(from, event);
      const auto want = allowed.find({from, event});
      ASSERT_EQ(next.ok(), want != allowed.end()) << Name(from) << " + " << Name(event);
      if (next.ok()) {
        EXPECT_EQ(*next, want->second);
      } else {
        EXPECT_EQ(next.status().code(), absl::StatusCode::kFailedPrecondition);
      }
    }
  }
}

}  // namespace
}  // namespace berth::sandbox

#include "shim/front/container_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_replace.h"
#include "shim/front/launch.h"
#include "shim/front/state_dir.h"

namespace berth::shim::front {
namespace {

using ::testing::HasSubstr;

ContainerRecord Sample() {
  ContainerRecord record;
  record.id = "c1";
  record.oci_version = "1.2.0";
  record.bundle = "/b";
  record.rootfs = "/b/rootfs";
  record.boot_id = "boot";
  record.stage = Stage::kCreated;
  record.creator = {10, 1000};
  record.process = {11, 1001};
  record.cgroup = "/berth-oci/c1";
  record.cgroup_made = "/berth-oci";
  record.has_pid_namespace = true;
  record.created = "2026-01-01T00:00:00Z";
  record.annotations = {{"\"pid\":", "\"pid\":7"}};
  return record;
}

TEST(ContainerRecordTest, ComesBackAsItWasWritten) {
  const absl::StatusOr<ContainerRecord> read = ParseContainerRecord(ToJson(Sample()));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(ToJson(*read), ToJson(Sample()));
  EXPECT_EQ(read->stage, Stage::kCreated);
  EXPECT_EQ(read->process.start_time, 1001U);
}

TEST(ContainerRecordTest, ADamagedOneIsNotBelieved) {
  const std::string good = ToJson(Sample());
  for (const std::string& bad :
       {std::string(), std::string("[]"), good.substr(0, good.size() / 2),
        absl::StrReplaceAll(good, {{"\"version\":1", "\"version\":2"}}),
        absl::StrReplaceAll(good, {{"\"cgroup\":", "\"croup\":"}}),
        absl::StrReplaceAll(good, {{"\"stage\":\"created\"", "\"stage\":\"new\""}}),
        absl::StrReplaceAll(good, {{"\"startTime\":1001", "\"startTime\":\"x\""}})}) {
    EXPECT_TRUE(absl::IsDataLoss(ParseContainerRecord(bad).status())) << bad;
  }
}

TEST(ContainerRecordTest, TheStateOfAHookHasThePidInItsPlace) {
  const std::string state = OciState(Sample(), Status::kCreating).With(4711);
  EXPECT_THAT(state, HasSubstr("\"pid\":4711,\"status\":\"creating\""));
  // A text that looks like it is left alone.
  EXPECT_THAT(state, HasSubstr("\"annotations\":{\"\\\"pid\\\":\":\"\\\"pid\\\":7\"}"));
}

TEST(ContainerRecordTest, AStoppedOneHasNoPid) {
  EXPECT_THAT(FullState(Sample(), Status::kStopped), HasSubstr("\"pid\": 0"));
  EXPECT_THAT(FullState(Sample(), Status::kRunning), HasSubstr("\"pid\": 11"));
}

TEST(StateDirTest, IdsThatCouldLeadElsewhereAreRefused) {
  for (const char* id : {"", ".", "..", ".seccomp", "a/b", "../x", "a b", "a\nb", "\xc3\xa4"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(StateDir::CheckId(id))) << id;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(StateDir::CheckId(std::string(256, 'a'))));
  EXPECT_TRUE(StateDir::CheckId("Ab_0+-.x").ok());
}

TEST(CgroupPathTest, RelativeOnesStayBelowOurOwn) {
  EXPECT_EQ(*CgroupPathOf("c", ""), "/berth-oci/c");
  EXPECT_EQ(*CgroupPathOf("c", "a/b"), "/berth-oci/a/b");
  EXPECT_EQ(*CgroupPathOf("c", "//a//b/"), "/a/b");
  for (const char* wrong : {"/", "/a/../b", "..", "system.slice:docker:c"}) {
    const absl::Status status = CgroupPathOf("c", wrong).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << wrong;
    EXPECT_THAT(std::string(status.message()), HasSubstr("linux.cgroupsPath: ")) << wrong;
  }
}

}  // namespace
}  // namespace berth::shim::front

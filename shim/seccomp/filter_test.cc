#include "shim/seccomp/filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/seccomp.h>

#include "absl/strings/str_cat.h"

namespace berth::shim::seccomp {
namespace {

using ::testing::HasSubstr;

class FilterTest : public ::testing::Test {
 protected:
  absl::StatusOr<SeccompFilter> Of(const std::string& json) {
    return FilterOfSpec(json, 0, cache_.get());
  }
  std::unique_ptr<CompiledProfileCache> cache_ = *CompiledProfileCache::Open("");
};

TEST_F(FilterTest, NoProfileIsNoFilter) {
  const auto filter = Of("");
  ASSERT_TRUE(filter.ok());
  EXPECT_TRUE(filter->program.empty());
  EXPECT_EQ(filter->flags, 0u);
}

TEST_F(FilterTest, AListenerIsAskedForWhereARuleNotifies) {
  const std::string tail = R"("listenerPath": "/run/agent", "listenerMetadata": "m",
      "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],
      "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_)";
  const auto notified =
      Of(absl::StrCat(R"({"defaultAction": "SCMP_ACT_ALLOW", )", tail, "NOTIFY\"}]}"));
  ASSERT_TRUE(notified.ok()) << notified.status();
  EXPECT_EQ(notified->flags, uint32_t{SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_NEW_LISTENER |
                                      SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV});
  EXPECT_EQ(notified->listener_path, "/run/agent");
  EXPECT_EQ(notified->listener_metadata, "m");
  // "If the SCMP_ACT_NOTIFY action is not used this value is ignored."
  const auto plain = Of(absl::StrCat(R"({"defaultAction": "SCMP_ACT_ALLOW", )", tail, "TRAP\"}]}"));
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ(plain->flags, uint32_t{SECCOMP_FILTER_FLAG_LOG});
  EXPECT_EQ(plain->listener_path, "");
  EXPECT_NE(plain->program, notified->program);
}

TEST_F(FilterTest, ARefusalNamesThePlaceInTheSpec) {
  const absl::Status place =
      Of(R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [], "action": ""}]})")
          .status();
  EXPECT_EQ(place.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(place.message(), HasSubstr("linux.seccomp.syscalls[0].names: must not be empty"));
  const absl::Status call = Of(R"({"defaultAction": "SCMP_ACT_ALLOW",
      "syscalls": [{"names": ["from_the_future"], "action": "SCMP_ACT_ERRNO"}]})")
                                .status();
  EXPECT_EQ(call.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(call.message(), HasSubstr("linux.seccomp: "));
  EXPECT_THAT(call.message(), HasSubstr("from_the_future"));
}

TEST_F(FilterTest, AFlagThatTheKernelDoesNotKnowIsNamed) {
  Profile profile;
  profile.architectures = HostArchitectures();
  profile.flags = 1U << 30;
  const absl::Status status = FilterOf(profile, cache_.get()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("flags: the running kernel does not know"));
}

}  // namespace
}  // namespace berth::shim::seccomp

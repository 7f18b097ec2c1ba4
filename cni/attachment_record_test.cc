#include "cni/attachment_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cni/capability_args.h"
#include "cni/network.h"
#include "records.pb.h"

namespace berth::cni {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

constexpr char kList[] =
    R"({"cniVersion":"1.0.0","name":"n","plugins":[{"type":"t","capabilities":{"portMappings":true,
        "bandwidth":true,"dns":true,"cgroupPath":true,"io.kubernetes.cri.pod-annotations":true}}]})";

AttachmentFacts Facts() {
  AttachmentFacts facts;
  facts.id = "pod1";
  facts.list = std::make_shared<const ConfList>(*ParseConfList(kList));
  facts.version = "0.4.0";
  facts.netns_path = "/run/netns/x";
  facts.if_name = "eth0";
  facts.args = "IgnoreUnknown=1;K8S_POD_NAME=a";
  facts.capability_args = {{"portMappings", "[]"}};
  facts.result = R"({"cniVersion":"0.4.0"})";
  return facts;
}

TEST(AttachmentRecordTest, WhatIsWrittenIsReadBack) {
  for (const bool attached : {false, true}) {
    AttachmentFacts facts = Facts();
    facts.attached = attached;
    const absl::StatusOr<AttachmentFacts> read = FromRecord(ToRecord(facts));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->id, facts.id);
    EXPECT_EQ(read->attached, attached);
    EXPECT_EQ(read->list->bytes, kList);
    EXPECT_EQ(read->version, facts.version);
    EXPECT_EQ(read->netns_path, facts.netns_path);
    EXPECT_EQ(read->if_name, facts.if_name);
    EXPECT_EQ(read->args, facts.args);
    EXPECT_EQ(read->capability_args, facts.capability_args);
    EXPECT_EQ(read->result, facts.result);
  }
}

TEST(AttachmentRecordTest, WhatCannotBeUnderstoodIsDataLoss) {
  const auto broken = [](void (*edit)(records::AttachmentRecord*)) {
    store::Record record = ToRecord(Facts());
    records::AttachmentRecord message;
    EXPECT_TRUE(message.ParseFromString(record.body));
    edit(&message);
    record.body = message.SerializeAsString();
    return FromRecord(record).status();
  };
  const std::vector<absl::Status> statuses = {
      broken([](auto* m) { m->clear_state(); }),
      broken([](auto* m) { m->set_conf_list("{"); }),
      broken([](auto* m) { m->set_cni_version("7"); }),
      broken([](auto* m) { m->set_result("}{"); }),
      broken([](auto* m) { (*m->mutable_capability_args())["x"] = "}"; }),
  };
  for (const absl::Status& status : statuses) EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  store::Record record = ToRecord(Facts());
  record.version = 2;
  EXPECT_THAT(FromRecord(record).status().message(), HasSubstr("attachment/pod1"));
  record.version = 1;
  record.body = "\xff";
  EXPECT_TRUE(absl::IsDataLoss(FromRecord(record).status()));
}

TEST(CapabilityArgsTest, ConventionsSayHowEachIsWritten) {
  AttachRequest request;
  request.port_mappings = {{Protocol::kTcp, 8080, 80, ""}, {Protocol::kSctp, 53, 5353, "10.0.0.1"}};
  request.bandwidth.ingress_rate = 1000;
  request.bandwidth.egress_rate = 2000;
  request.bandwidth.egress_burst = 3000;
  request.dns = {{"10.0.0.10"}, {"svc.local"}, {}};
  request.cgroup_path = "/kubepods/x";
  request.pod_annotations = {{"a/b", "c"}};
  EXPECT_THAT(
      CapabilityArgs(request, *Facts().list),
      UnorderedElementsAre(
          Pair("portMappings",
               R"([{"containerPort":80,"hostPort":8080,"protocol":"tcp"},)"
               R"({"containerPort":5353,"hostIP":"10.0.0.1","hostPort":53,"protocol":"sctp"}])"),
          Pair("bandwidth", R"({"egressBurst":3000,"egressRate":2000,)"
                            R"("ingressBurst":4294967295,"ingressRate":1000})"),
          Pair("dns", R"({"searches":["svc.local"],"servers":["10.0.0.10"]})"),
          Pair("cgroupPath", R"("/kubepods/x")"),
          Pair("io.kubernetes.cri.pod-annotations", R"({"a/b":"c"})")));
  EXPECT_THAT(CapabilityArgs(AttachRequest(), *Facts().list), IsEmpty());
  const ConfList plain = *ParseConfList(R"({"name":"n","plugins":[{"type":"t"}]})");
  EXPECT_THAT(CapabilityArgs(request, plain), IsEmpty()) << "nobody declared them";
}

TEST(CapabilityArgsTest, ArgumentsThatWouldReadAsOthersAreRefused) {
  EXPECT_EQ(*JoinArgs({{"A", "1"}, {"B", "x=y"}}), "A=1;B=x=y");
  EXPECT_EQ(*JoinArgs({}), "");
  EXPECT_TRUE(absl::IsInvalidArgument(JoinArgs({{"A", "1;B=2"}}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(JoinArgs({{"A=", "1"}}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(JoinArgs({{"", "1"}}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(JoinArgs({{"A", std::string("a\0b", 3)}}).status()));
}

}  // namespace
}  // namespace berth::cni

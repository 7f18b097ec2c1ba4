// Pods with a network of their own, over fake plugins: order, failures, what is owed after them.
#include "sandbox/pod_network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "sandbox/paths.h"
#include "sandbox/quantity.h"
#include "sandbox/testing/fakes.h"
#include "sandbox/user_mappings.h"
#include "sandbox/verbs.h"

namespace berth::sandbox {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using testing::World;

cri::NamespaceOption* Options(cri::PodSandboxConfig* config) {
  return config->mutable_linux()->mutable_security_context()->mutable_namespace_options();
}

cri::PodSandboxConfig OwnNetwork(const std::string& name = "pod") {
  cri::PodSandboxConfig config = World::PodConfig(name);
  Options(&config)->set_network(cri::POD);
  return config;
}

class PodNetworkTest : public ::testing::Test {
 protected:
  ~PodNetworkTest() override { EXPECT_TRUE(failpoint::Configure("").ok()); }
  absl::Status Stop(const std::string& id) {
    cri::StopPodSandboxRequest request;
    request.set_pod_sandbox_id(id);
    return StopPodSandbox(world_.core(), request);
  }
  absl::Status Remove(const std::string& id) {
    cri::RemovePodSandboxRequest request;
    request.set_pod_sandbox_id(id);
    return RemovePodSandbox(world_.core(), request);
  }
  std::string Run(const cri::PodSandboxConfig& config) {
    const absl::StatusOr<std::string> id = world_.Run(config);
    EXPECT_TRUE(id.ok()) << id.status();
    return id.value_or("");
  }
  World world_;
};

TEST_F(PodNetworkTest, AddressesAreReportedWhileThePodIsReady) {
  const std::string id = Run(OwnNetwork());
  EXPECT_EQ(world_.PodStatus(id).network().ip(), "10.0.0.1");
  ASSERT_EQ(world_.PodStatus(id).network().additional_ips_size(), 1);
  EXPECT_EQ(world_.PodStatus(id).network().additional_ips(0).ip(), "fd00::1");
  world_.Restart();
  EXPECT_EQ(world_.PodStatus(id).network().ip(), "10.0.0.1");
  EXPECT_TRUE(Stop(id).ok());
  EXPECT_EQ(world_.PodStatus(id).network().ip(), "");
  EXPECT_THAT(world_.network().detached_from(), ElementsAre(absl::StrCat("/run/netns/berth-", id)));
  EXPECT_TRUE(Remove(id).ok());
  EXPECT_THAT(world_.Leaks(), IsEmpty());
}

TEST_F(PodNetworkTest, PluginsAreToldWhoThePodIsAndWhatItWants) {
  cri::PodSandboxConfig config = OwnNetwork();
  cri::PortMapping* port = config.add_port_mappings();
  port->set_protocol(cri::UDP);
  port->set_host_port(53);
  port->set_container_port(5353);
  port->set_host_ip("127.0.0.1");
  config.add_port_mappings()->set_container_port(80);
  config.mutable_dns_config()->add_servers("10.0.0.10");
  (*config.mutable_annotations())["kubernetes.io/egress-bandwidth"] = "1M";
  const std::string id = Run(config);
  const cni::AttachRequest asked = world_.network().last_request();
  EXPECT_EQ(asked.id, id);
  EXPECT_THAT(asked.args,
              ElementsAre(Pair("IgnoreUnknown", "1"), Pair("K8S_POD_NAMESPACE", "default"),
                          Pair("K8S_POD_NAME", "pod"), Pair("K8S_POD_INFRA_CONTAINER_ID", id),
                          Pair("K8S_POD_UID", "uid-pod")));
  ASSERT_EQ(asked.port_mappings.size(), 1u);
  EXPECT_EQ(asked.port_mappings[0].protocol, cni::Protocol::kUdp);
  EXPECT_EQ(asked.port_mappings[0].host_port, 53);
  EXPECT_EQ(asked.port_mappings[0].host_ip, "127.0.0.1");
  EXPECT_EQ(asked.bandwidth.egress_rate, 1000000u);
  EXPECT_EQ(asked.bandwidth.ingress_burst, 0u);
  EXPECT_THAT(asked.dns.servers, ElementsAre("10.0.0.10"));
  EXPECT_EQ(asked.cgroup_path, "/berth/" + id);
  EXPECT_TRUE(world_.host().last_pin().private_network);
  EXPECT_EQ(world_.host().last_pin().sysctls.at("net.ipv4.ip_unprivileged_port_start"), "0");
}

TEST_F(PodNetworkTest, WithoutConfigurationOnlyHostNetworkPodsRun) {
  world_.network().SetReady(absl::FailedPreconditionError("no configuration in /etc/cni/net.d"));
  const absl::Status status = world_.Run(OwnNetwork()).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("/etc/cni/net.d"));
  EXPECT_TRUE(world_.Run(World::PodConfig("host")).ok());
}

TEST_F(PodNetworkTest, AFailedAddIsDetachedAndNothingIsLeft) {
  world_.network().FailAttach(absl::UnavailableError("plugin x: ADD: no address"));
  const absl::Status status = world_.Run(OwnNetwork()).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("no address"));
  EXPECT_THAT(world_.Leaks(), IsEmpty());
}

TEST_F(PodNetworkTest, AFailedAddWhoseDelFailsTooStaysAsANotReadyPod) {
  world_.network().FailAttach(absl::UnavailableError("no address"));
  world_.network().FailDetach(absl::UnavailableError("no daemon"));
  EXPECT_FALSE(world_.Run(OwnNetwork()).ok());
  const cri::ListPodSandboxResponse list = ListPodSandbox(world_.core(), {});
  ASSERT_EQ(list.items_size(), 1);
  EXPECT_EQ(list.items(0).state(), cri::SANDBOX_NOTREADY);
  EXPECT_FALSE(Remove(list.items(0).id()).ok());
  world_.network().FailDetach(absl::OkStatus());
  EXPECT_TRUE(Remove(list.items(0).id()).ok());
  EXPECT_THAT(world_.Leaks(), IsEmpty());
}

TEST_F(PodNetworkTest, AFailedDelIsOwedAndAskedForByStopAndByTheNextStart) {
  const std::string id = Run(OwnNetwork());
  world_.network().FailDetach(absl::UnavailableError("no daemon"));
  EXPECT_TRUE(absl::IsUnavailable(Stop(id)));
  EXPECT_EQ(world_.PodStatus(id).state(), cri::SANDBOX_NOTREADY);
  EXPECT_TRUE(world_.host().IsNetworkPinned("/run/netns/berth-" + id)) << "DEL may need it";
  EXPECT_FALSE(Stop(id).ok());
  world_.network().FailDetach(absl::OkStatus());
  world_.Restart();
  EXPECT_TRUE(Stop(id).ok());
  EXPECT_THAT(world_.network().Attached(), IsEmpty());
  EXPECT_TRUE(Remove(id).ok());
  EXPECT_THAT(world_.Leaks(), IsEmpty());
}

TEST_F(PodNetworkTest, AfterARebootTheDelIsRunWithoutANamespace) {
  const std::string id = Run(OwnNetwork());
  world_.Stop();
  ASSERT_TRUE(world_.host().UnpinNamespaces({id, absl::StrCat("/run/netns/berth-", id), ""}).ok());
  world_.boot_id = "boot-2";
  world_.Restart();
  EXPECT_EQ(world_.PodStatus(id).state(), cri::SANDBOX_NOTREADY);
  EXPECT_TRUE(Stop(id).ok());
  EXPECT_THAT(world_.network().detached_from(), ElementsAre(""));
  EXPECT_TRUE(Remove(id).ok());
  EXPECT_THAT(world_.Leaks(), IsEmpty());
}

TEST_F(PodNetworkTest, APodLeftHalfMadeIsUndoneAndItsNameIsFree) {
  // As after a kill between ADD and the commit: the rollback is kept from working.
  world_.network().FailDetach(absl::UnavailableError("killed"));
  ASSERT_TRUE(failpoint::Configure("run_pod_after_attach=1*error").ok());
  EXPECT_FALSE(world_.Run(OwnNetwork()).ok());
  world_.network().FailDetach(absl::OkStatus());
  world_.Restart();
  const cri::ListPodSandboxResponse list = ListPodSandbox(world_.core(), {});
  for (const cri::PodSandbox& pod : list.items()) EXPECT_TRUE(Remove(pod.id()).ok());
  EXPECT_TRUE(world_.AwaitClean()) << world_.Leaks().front();
}

TEST_F(PodNetworkTest, SysctlsMustBeOfANamespaceThatThePodHas) {
  const auto refused = [&](cri::PodSandboxConfig config, const std::string& name) {
    (*config.mutable_linux()->mutable_sysctls())[name] = "1";
    const absl::Status status = world_.Run(config).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(name));
  };
  for (const char* name : {"vm.swappiness", "kernel.panic", "net", "kernel.hostname", "net..x"}) {
    refused(OwnNetwork(), name);
  }
  refused(World::PodConfig("host"), "net.ipv4.ip_forward");
  cri::PodSandboxConfig host_ipc = OwnNetwork();
  Options(&host_ipc)->set_ipc(cri::NODE);
  refused(host_ipc, "kernel.shmmax");
  cri::PodSandboxConfig good = OwnNetwork();
  (*good.mutable_linux()->mutable_sysctls())["kernel.shmmax"] = "4096";
  (*good.mutable_linux()->mutable_sysctls())["net.ipv4.ip_unprivileged_port_start"] = "80";
  (void)Run(good);
  EXPECT_EQ(world_.host().last_pin().sysctls.at("kernel.shmmax"), "4096");
  EXPECT_EQ(world_.host().last_pin().sysctls.at("net.ipv4.ip_unprivileged_port_start"), "80");
}

TEST_F(PodNetworkTest, PortsThatCannotBeMappedAreInvalid) {
  const auto refused = [&](int32_t host, int32_t inside, const std::string& ip, int times) {
    cri::PodSandboxConfig config = OwnNetwork();
    for (int i = 0; i < times; ++i) {
      cri::PortMapping* port = config.add_port_mappings();
      port->set_host_port(host);
      port->set_container_port(inside);
      port->set_host_ip(ip);
    }
    return absl::IsInvalidArgument(CheckNetwork(config));
  };
  EXPECT_TRUE(refused(-1, 80, "", 1));
  EXPECT_TRUE(refused(65536, 80, "", 1));
  EXPECT_TRUE(refused(80, 65536, "", 1));
  EXPECT_TRUE(refused(80, 0, "", 1));
  EXPECT_TRUE(refused(80, 80, "localhost", 1));
  EXPECT_TRUE(refused(80, 80, "", 2));
  EXPECT_FALSE(refused(80, 80, "::1", 1));
  EXPECT_FALSE(refused(0, 80, "", 2));
}

TEST(UserMappingsTest, OneMappingEachOfTheSameLengthFromTheContainersRoot) {
  const auto code = [](auto edit) {
    cri::NamespaceOption options;
    cri::UserNamespace* users = options.mutable_userns_options();
    users->set_mode(cri::POD);
    for (cri::IDMapping* m : {users->add_uids(), users->add_gids()}) {
      m->set_host_id(100000);
      m->set_length(65536);
    }
    edit(users);
    return ToUserMappings(options).status().code();
  };
  using U = cri::UserNamespace*;
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_EQ(code([](U) {}), absl::StatusCode::kOk);
  EXPECT_EQ(code([](U u) { u->add_uids(); }), kInvalid);
  EXPECT_EQ(code([](U u) { u->clear_gids(); }), kInvalid);
  EXPECT_EQ(code([](U u) { u->mutable_uids(0)->set_length(0); }), kInvalid);
  EXPECT_EQ(code([](U u) { u->mutable_uids(0)->set_length(1); }), kInvalid);
  EXPECT_EQ(code([](U u) { u->mutable_gids(0)->set_container_id(1); }), kInvalid);
  EXPECT_EQ(code([](U u) { u->mutable_uids(0)->set_host_id(UINT32_MAX); }), kInvalid);
  EXPECT_EQ(code([](U u) { u->set_mode(cri::CONTAINER); }), kInvalid);
  EXPECT_EQ(code([](U u) { u->set_mode(cri::TARGET); }), kInvalid);
  EXPECT_EQ(code([](U u) { u->set_mode(cri::NODE); }), kInvalid);
  EXPECT_TRUE(ToUserMappings({})->empty());
}

TEST(QuantityTest, IsReadAsKubernetesWritesIt) {
  EXPECT_EQ(*ParseQuantity("10"), 10u);
  EXPECT_EQ(*ParseQuantity("1.5M"), 1500000u);
  EXPECT_EQ(*ParseQuantity("2Ki"), 2048u);
  EXPECT_EQ(*ParseQuantity("2e3"), 2000u);
  EXPECT_EQ(*ParseQuantity("1500m"), 2u);
  for (const char* text : {"", "M", "-1", "1x", "1.2.3", "99E", "1e99", "1 M"}) {
    EXPECT_FALSE(ParseQuantity(text).ok()) << text;
  }
}

}  // namespace
}  // namespace berth::sandbox

// Pods with a network of their own, by the real CNI plugins: bridge, host-local and portmap in a
// network namespace that stands for the host's.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/clock.h"
#include "base/os/file.h"
#include "tests/e2e/e2e.h"

namespace berth::testing {
namespace {

using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr char kServer[] = "while :; do echo hello from $HOSTNAME | nc -l -p 8080; done";

// A plugin that does as its file `mode` says, then as the next one in the chain would.
constexpr char kOddPlugin[] = R"(#!/bin/sh
mode=$(cat $0.mode)
input=$(cat)
case "$CNI_COMMAND-$mode" in
  VERSION-*) echo '{"cniVersion":"1.0.0","supportedVersions":["1.0.0"]}'; exit 0 ;;
  ADD-fail|DEL-fail-del) echo '{"cniVersion":"1.0.0","code":100,"msg":"odd says no"}'; exit 1 ;;
  ADD-hang) exec sleep 1000 ;;
  ADD-garbage) echo 'this is not JSON'; exit 0 ;;
  ADD-*) echo '{"cniVersion":"1.0.0","interfaces":[],"ips":[{"address":"10.99.0.77/16"}]}' ;;
esac
exit 0
)";

size_t HostMounts() {
  const std::string text = os::ReadFile("/proc/self/mountinfo", 16 << 20).value_or("");
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

class Network : public E2e {
 protected:
  Daemon::Options DaemonOptions() const override {
    Daemon::Options options;
    options.own_network = true;
    options.extra_args = {"--cni-plugin-timeout", "3"};
    return options;
  }
  void TearDown() override {
    E2e::TearDown();
    EXPECT_TRUE(Eventually([&] { return net().Traces().empty(); }, absl::Seconds(10)))
        << *net().Traces().begin();
    EXPECT_THAT(*os::ListDir(AT_FDCWD, daemon().netns_dir()), IsEmpty());
    net().WriteConf(net().conf_list());
  }
  static TestNetwork& net() { return daemon().network(); }

  cri::PodSandboxConfig OwnNetwork(const std::string& name = "pod") const {
    cri::PodSandboxConfig config = PodConfig(name);
    config.set_hostname(name);
    config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(
        cri::POD);
    return config;
  }
  cri::ContainerConfig Inside(const std::string& script, const std::string& name = "main") const {
    cri::ContainerConfig config = ContainerConfig(script, name);
    config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(
        cri::POD);
    return config;
  }
  // A pod with one container: {pod, container}.
  std::pair<std::string, std::string> Run(const cri::PodSandboxConfig& config,
                                          const std::string& script) {
    std::string pod = RunPod(config);
    std::string id;
    const grpc::Status created = TryCreate(pod, Inside(script), config, &id);
    EXPECT_TRUE(created.ok()) << created.error_message();
    Start(id);
    return {std::move(pod), std::move(id)};
  }
  cri::PodSandboxStatus PodStatus(const std::string& pod) {
    cri::PodSandboxStatusRequest request;
    request.set_pod_sandbox_id(pod);
    cri::PodSandboxStatusResponse response;
    const grpc::Status status =
        runtime_->PodSandboxStatus(Within(absl::Seconds(10)).get(), request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.status();
  }
  std::string Ip(const std::string& pod) { return PodStatus(pod).network().ip(); }
  grpc::Status TryStopPod(const std::string& pod) {
    cri::StopPodSandboxRequest request;
    request.set_pod_sandbox_id(pod);
    cri::StopPodSandboxResponse response;
    return runtime_->StopPodSandbox(Within(absl::Minutes(1)).get(), request, &response);
  }
  cri::RuntimeCondition NetworkReady() {
    cri::StatusResponse response;
    EXPECT_TRUE(runtime_->Status(Within(absl::Seconds(10)).get(), {}, &response).ok());
    for (const cri::RuntimeCondition& c : response.status().conditions()) {
      if (c.type() == "NetworkReady") return c;
    }
    return {};
  }
  std::string FetchSoon(const std::string& ip, int port) {
    std::string text;
    (void)Eventually([&] { return !(text = net().Fetch(ip, port)).empty(); }, absl::Seconds(10));
    return text;
  }
  // Puts the odd plugin at the end of the chain.
  void UseOddPlugin(const std::string& mode) {
    const std::string path = daemon().dir() + "/plugins/odd";
    ASSERT_TRUE(os::MakeDirs(daemon().dir() + "/plugins", 0755).ok());
    WriteFile(path, kOddPlugin);
    SetOddMode(mode);
    net().WriteConf(absl::StrReplaceAll(net().conf_list(), {{"{\"type\": \"portmap\"",
                                                             "{\"type\": \"odd\"}, {\"type\": "
                                                             "\"portmap\""}}));
  }
  void SetOddMode(const std::string& mode) {
    WriteFile(daemon().dir() + "/plugins/odd.mode", mode);
  }
  static void WriteFile(const std::string& path, const std::string& text) {
    unlink(path.c_str());
    absl::StatusOr<os::UniqueFd> file = os::Open(path, O_WRONLY | O_CREAT, 0755);
    ASSERT_TRUE(file.ok() && os::WriteAll(file->get(), text).ok()) << path;
  }
};

TEST_F(Network, TwoPodsHaveAddressesAndReachEachOther) {
  EXPECT_TRUE(NetworkReady().status());
  const auto [one, server] = Run(OwnNetwork("one"), kServer);
  const auto [two, client] = Run(OwnNetwork("two"), "sleep 1000");
  EXPECT_THAT(Ip(one), StartsWith("10.99."));
  EXPECT_NE(Ip(one), Ip(two));
  EXPECT_THAT(FetchSoon(Ip(one), 8080), HasSubstr("hello from one"));
  EXPECT_THAT(Shell(client, absl::StrCat("nc -w 5 ", Ip(one), " 8080 </dev/null")),
              HasSubstr("hello from one"));
  EXPECT_THAT(Shell(client, absl::StrCat("ping -c 1 -W 5 ", Ip(one))),
              HasSubstr("1 packets received"));
  const std::string address = Ip(one);
  EXPECT_TRUE(TryStopPod(one).ok());
  EXPECT_EQ(Ip(one), "") << "it may be another's by now";
  EXPECT_EQ(net().Fetch(address, 8080), "");
  for (const std::string& trace : net().Traces()) {
    EXPECT_THAT(trace, Not(HasSubstr(one)));
    EXPECT_THAT(trace, Not(HasSubstr(address + " ")));
  }
}

TEST_F(Network, AHostPortLeadsToThePod) {
  cri::PodSandboxConfig config = OwnNetwork("mapped");
  cri::PortMapping* port = config.add_port_mappings();
  port->set_host_port(18080);
  port->set_container_port(8080);
  config.add_port_mappings()->set_container_port(9090);  // host_port 0: none
  const auto [pod, id] = Run(config, kServer);
  EXPECT_THAT(FetchSoon("10.99.0.1", 18080), HasSubstr("hello from mapped"));
  EXPECT_TRUE(TryStopPod(pod).ok());
  EXPECT_EQ(net().Fetch("10.99.0.1", 18080), "");
}

TEST_F(Network, ThePodsNamesAddressesAndSysctlsAreSeenInside) {
  cri::PodSandboxConfig config = OwnNetwork("named");
  config.mutable_dns_config()->add_servers("10.0.0.10");
  config.mutable_dns_config()->add_searches("default.svc.cluster.local");
  config.mutable_dns_config()->add_options("ndots:5");
  auto& sysctls = *config.mutable_linux()->mutable_sysctls();
  sysctls["net.ipv4.ip_local_port_range"] = "20000 30000";
  sysctls["kernel.shm_rmid_forced"] = "1";
  sysctls["fs.mqueue.queues_max"] = "77";
  const auto [pod, id] = Run(config, "sleep 1000");
  EXPECT_EQ(Shell(id, "hostname"), "named\n");
  EXPECT_EQ(Shell(id, "cat /etc/resolv.conf"),
            "search default.svc.cluster.local\nnameserver 10.0.0.10\noptions ndots:5\n");
  EXPECT_THAT(Shell(id, "cat /etc/hosts"), HasSubstr(Ip(pod) + "\tnamed\n"));
  EXPECT_THAT(Shell(id, "ip addr show eth0"), HasSubstr(Ip(pod)));
  EXPECT_THAT(Shell(id, "ip addr show lo"), HasSubstr("127.0.0.1"));
  EXPECT_EQ(Shell(id, "cat /proc/sys/net/ipv4/ip_local_port_range"), "20000\t30000\n");
  EXPECT_EQ(Shell(id, "cat /proc/sys/kernel/shm_rmid_forced /proc/sys/fs/mqueue/queues_max"),
            "1\n77\n");
  EXPECT_EQ(Shell(id, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start"), "0\n");
}

TEST_F(Network, TwoContainersOfAPodShareLoopback) {
  const cri::PodSandboxConfig config = OwnNetwork("shared");
  const auto [pod, server] = Run(config, kServer);
  std::string client;
  ASSERT_TRUE(TryCreate(pod, Inside("sleep 1000", "client"), config, &client).ok());
  Start(client);
  EXPECT_THAT(Shell(client,
                    "for i in 1 2 3 4 5 6 7 8 9; do nc -w 5 127.0.0.1 8080 </dev/null && "
                    "break; usleep 100000; done"),
              HasSubstr("hello from shared"));
}

TEST_F(Network, TheHostsMountTableGrowsByOneEntryAPodAtMost) {
  const size_t before = HostMounts();
  for (int i = 0; i < 3; ++i) (void)RunPod(OwnNetwork(absl::StrCat("own-", i)));
  EXPECT_LE(HostMounts(), before + 3);
  for (int i = 0; i < 3; ++i) (void)RunPod(PodConfig(absl::StrCat("host-", i)));
  EXPECT_LE(HostMounts(), before + 6);
}

TEST_F(Network, WithoutConfigurationHostNetworkPodsRun) {
  net().RemoveConf();
  EXPECT_TRUE(Eventually([&] { return !NetworkReady().status(); }, absl::Seconds(5)));
  EXPECT_EQ(NetworkReady().reason(), "NetworkPluginNotReady");
  EXPECT_THAT(NetworkReady().message(), HasSubstr(daemon().cni_conf_dir()));
  EXPECT_THAT(TryRunPod(OwnNetwork(), nullptr),
              StatusIs(grpc::StatusCode::FAILED_PRECONDITION, HasSubstr(daemon().cni_conf_dir())));
  (void)RunPod(PodConfig("host"));
  net().WriteConf("{ this is no JSON", "10-test.conflist");
  EXPECT_THAT(TryRunPod(OwnNetwork(), nullptr),
              StatusIs(grpc::StatusCode::FAILED_PRECONDITION, HasSubstr("10-test.conflist")));
  net().RemoveConf();
}

TEST_F(Network, APluginThatIsMissingIsNamedAndNothingIsLeft) {
  net().WriteConf(absl::StrReplaceAll(net().conf_list(), {{"portmap\"", "nowhere\""}}));
  const grpc::Status status = TryRunPod(OwnNetwork(), nullptr);
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(status.error_message(), HasSubstr("nowhere"));
}

class BrokenPlugin : public Network {
 protected:
  Daemon::Options DaemonOptions() const override {
    Daemon::Options options = Network::DaemonOptions();
    options.plugin_dir = true;
    return options;
  }
};

TEST_F(BrokenPlugin, OneThatFailsHangsOrPrintsGarbageLeavesNothing) {
  for (const auto& [mode, says] :
       {std::pair("fail", "odd says no"), std::pair("hang", "odd"), std::pair("garbage", "odd")}) {
    SCOPED_TRACE(mode);
    UseOddPlugin(mode);
    const int64_t began = MonotonicNanos();
    const grpc::Status status = TryRunPod(OwnNetwork(), nullptr);
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(status.error_message(), HasSubstr(says));
    EXPECT_LT(MonotonicNanos() - began, int64_t{20} * 1000000000);
    EXPECT_THAT(net().Traces(), IsEmpty());
    cri::ListPodSandboxResponse pods;
    EXPECT_TRUE(runtime_->ListPodSandbox(Within(absl::Seconds(10)).get(), {}, &pods).ok());
    EXPECT_EQ(pods.items_size(), 0);
  }
}

TEST_F(BrokenPlugin, ADelThatFailsKeepsThePodNotReadyUntilItWorks) {
  UseOddPlugin("ok");
  const std::string pod = RunPod(OwnNetwork());
  SetOddMode("fail-del");
  const grpc::Status stopped = TryStopPod(pod);
  EXPECT_FALSE(stopped.ok());
  EXPECT_THAT(stopped.error_message(), HasSubstr("odd says no"));
  EXPECT_EQ(PodStatus(pod).state(), cri::SANDBOX_NOTREADY);
  // A start asks again, and so does the next Stop.
  daemon().Kill9();
  daemon().Start();
  Reconnect();
  EXPECT_EQ(PodStatus(pod).state(), cri::SANDBOX_NOTREADY);
  SetOddMode("ok");
  EXPECT_TRUE(TryStopPod(pod).ok());
  EXPECT_THAT(net().Traces(), IsEmpty());
}

TEST_F(BrokenPlugin, WhatAFailedAddLeavesIsKeptToBeRemovedWhenDelFailsToo) {
  UseOddPlugin("fail-del");
  SetOddMode("fail-del");
  // ADD works, a failure after it undoes: DEL fails.
  ASSERT_EQ(daemon().Ctl({"failpoints", "set", "run_pod_after_attach=1*error"}).exit_code, 0);
  EXPECT_FALSE(TryRunPod(OwnNetwork(), nullptr).ok());
  cri::ListPodSandboxResponse pods;
  EXPECT_TRUE(runtime_->ListPodSandbox(Within(absl::Seconds(10)).get(), {}, &pods).ok());
  ASSERT_EQ(pods.items_size(), 1);
  EXPECT_EQ(pods.items(0).state(), cri::SANDBOX_NOTREADY);
  SetOddMode("ok");
  RemovePod(pods.items(0).id());
}

TEST_F(Network, ARestartedDaemonFindsThePodsReachableAndUndoesTheirNetwork) {
  const auto [pod, id] = Run(OwnNetwork("kept"), kServer);
  const std::string ip = Ip(pod);
  EXPECT_THAT(FetchSoon(ip, 8080), HasSubstr("hello from kept"));
  daemon().Kill9();
  EXPECT_THAT(FetchSoon(ip, 8080), HasSubstr("hello from kept"));
  daemon().Start();
  Reconnect();
  EXPECT_EQ(Ip(pod), ip);
  EXPECT_EQ(PodStatus(pod).state(), cri::SANDBOX_READY);
  EXPECT_THAT(FetchSoon(ip, 8080), HasSubstr("hello from kept"));
  std::string more;
  EXPECT_TRUE(TryCreate(pod, Inside("sleep 1000", "more"), OwnNetwork("kept"), &more).ok());
}

TEST_F(Network, ANamespaceThatSomebodyTookAwayIsDetachedAllTheSame) {
  // The bridge plugin takes its masquerade rules away by what it finds in the namespace, so without
  // one it leaves them.
  net().WriteConf(
      absl::StrReplaceAll(net().conf_list(), {{"\"ipMasq\": true", "\"ipMasq\": false"}}));
  const std::string pod = RunPod(OwnNetwork());
  const std::string pin = absl::StrCat(daemon().netns_dir(), "/berth-", pod);
  ASSERT_EQ(umount2(pin.c_str(), MNT_DETACH), 0);
  EXPECT_TRUE(TryStopPod(pod).ok());
  EXPECT_THAT(net().Traces(), IsEmpty());
}

TEST_F(Network, WhatCannotBeMappedOrSetIsInvalid) {
  const auto refused = [&](const cri::PodSandboxConfig& config, const std::string& says) {
    EXPECT_THAT(TryRunPod(config, nullptr),
                StatusIs(grpc::StatusCode::INVALID_ARGUMENT, HasSubstr(says)));
  };
  cri::PodSandboxConfig config = OwnNetwork();
  config.add_port_mappings()->set_host_port(70000);
  refused(config, "host_port");
  config = OwnNetwork();
  (*config.mutable_linux()->mutable_sysctls())["vm.swappiness"] = "1";
  refused(config, "vm.swappiness");
  config = OwnNetwork();
  (*config.mutable_linux()->mutable_sysctls())["net.ipv4.berth"] = "1";
  refused(config, "net.ipv4.berth");
  config = OwnNetwork();
  (*config.mutable_annotations())["kubernetes.io/ingress-bandwidth"] = "fast";
  refused(config, "ingress-bandwidth");
  config = OwnNetwork();
  auto* users = config.mutable_linux()
                    ->mutable_security_context()
                    ->mutable_namespace_options()
                    ->mutable_userns_options();
  users->set_mode(cri::POD);
  refused(config, "exactly one mapping");
  users->set_mode(cri::TARGET);
  refused(config, "TARGET");
}

}  // namespace
}  // namespace berth::testing

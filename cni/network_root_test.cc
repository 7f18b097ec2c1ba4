// The real plugins of /usr/lib/cni. Everything happens in network namespaces that the test makes:
// one plays the host, with its own bridge, addresses and iptables rules.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/os/errno_status.h"
#include "base/os/namespaces.h"
#include "base/os/run_program.h"
#include "base/status_macros.h"
#include "cni/network.h"
#include "cni/test_plugins.h"

namespace berth::cni {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

Deadline Soon() { return Deadline::After(absl::Seconds(60)); }

// A network namespace that lives as long as this object's fd.
class NetNs {
 public:
  NetNs() {
    const absl::Status status = os::OnPrivateThread([this]() -> absl::Status {
      if (unshare(CLONE_NEWNET) != 0) return os::ErrnoStatus(errno, "unshare");
      ASSIGN_OR_RETURN(fd_, os::Open("/proc/thread-self/ns/net", O_RDONLY));
      const os::UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
      ifreq up{};
      memcpy(up.ifr_name, "lo", 3);
      up.ifr_flags = IFF_UP;
      if (ioctl(socket.get(), SIOCSIFFLAGS, &up) != 0) return os::ErrnoStatus(errno, "lo up");
      return absl::OkStatus();
    });
    EXPECT_TRUE(status.ok()) << status;
  }
  std::string path() const { return absl::StrCat("/proc/", getpid(), "/fd/", fd_.get()); }

  absl::Status Run(const std::function<absl::Status()>& body) const {
    return os::OnPrivateThread([&]() -> absl::Status {
      if (setns(fd_.get(), CLONE_NEWNET) != 0) return os::ErrnoStatus(errno, "setns");
      return body();
    });
  }
  // What a command prints in it.
  std::string Output(const std::vector<std::string>& argv) const {
    std::string output;
    const absl::Status status = Run([&]() -> absl::Status {
      const os::Program program{argv[0], argv, {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, ""};
      ASSIGN_OR_RETURN(os::ProgramResult result, os::RunProgram(program, Soon()));
      if (result.status != 0) return absl::InternalError(result.errors);
      output = std::move(result.output);
      return absl::OkStatus();
    });
    EXPECT_TRUE(status.ok()) << argv[0] << ": " << status;
    return output;
  }

 private:
  os::UniqueFd fd_;
};

sockaddr_in Address(const std::string& ip, uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  EXPECT_EQ(inet_pton(AF_INET, ip.c_str(), &address.sin_addr), 1) << ip;
  return address;
}

// Listens in `server`, connects from `client`: true when the connection comes through.
bool Connects(const NetNs& server, uint16_t server_port, const NetNs& client, const std::string& ip,
              uint16_t port) {
  os::UniqueFd listener;
  os::UniqueFd connection;
  const absl::Status listening = server.Run([&]() -> absl::Status {
    listener.reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const sockaddr_in any = Address("0.0.0.0", server_port);
    if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&any), sizeof any) != 0 ||
        listen(listener.get(), 1) != 0) {
      return os::ErrnoStatus(errno, "listen");
    }
    return absl::OkStatus();
  });
  EXPECT_TRUE(listening.ok()) << listening;
  const absl::Status begun = client.Run([&]() -> absl::Status {
    connection.reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const sockaddr_in to = Address(ip, port);
    if (connect(connection.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 &&
        errno != EINPROGRESS) {
      return os::ErrnoStatus(errno, "connect");
    }
    return absl::OkStatus();
  });
  if (!begun.ok()) return false;
  pollfd fds[2] = {{listener.get(), POLLIN, 0}, {connection.get(), POLLOUT, 0}};
  if (poll(fds, 2, 5000) < 1 || (fds[1].revents & POLLERR) != 0) return false;
  return poll(fds, 1, 5000) == 1;
}

class RealPluginsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(access("/usr/lib/cni/bridge", X_OK), 0) << "install containernetworking-plugins";
    plugins_.Write(
        plugins_.conf() + "/10-net.conflist",
        absl::StrCat(R"({"cniVersion":"1.1.0","name":"berth-test","plugins":[
          {"type":"loopback"},
          {"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":true,"hairpinMode":true,
           "ipam":{"type":"host-local","dataDir":")",
                     plugins_ / "leases",
                     R"(","ranges":[[{"subnet":"10.99.0.0/24"}]],"routes":[{"dst":"0.0.0.0/0"}]}},
          {"type":"portmap","capabilities":{"portMappings":true}}]})"),
        0644);
    Network::Options options;
    options.conf_dir = plugins_.conf();
    options.bin_dirs = {plugins_.bin(), "/usr/lib/cni"};
    absl::StatusOr<std::unique_ptr<Network>> network = Network::Open(options, store_.get());
    ASSERT_TRUE(network.ok()) << network.status();
    network_ = *std::move(network);
    ASSERT_TRUE(network_->Ready().ok()) << network_->Ready();
  }

  absl::StatusOr<Attachment> Attach(const std::string& id, const NetNs& pod,
                                    std::vector<PortMapping> ports = {}) {
    AttachRequest request;
    request.id = id;
    request.netns_path = pod.path();
    request.args = {{"IgnoreUnknown", "1"}, {"K8S_POD_NAME", id}};
    request.port_mappings = std::move(ports);
    Attachment attachment;
    RETURN_IF_ERROR(host_.Run([&]() -> absl::Status {
      ASSIGN_OR_RETURN(attachment, network_->Attach(request, Soon()));
      return absl::OkStatus();
    }));
    return attachment;
  }
  absl::Status Detach(const std::string& id, const std::string& netns_path) {
    return host_.Run([&] { return network_->Detach(id, netns_path, Soon()); });
  }
  // Links, rules and leases of "the host".
  std::string State() {
    std::string state = host_.Output({"/usr/sbin/ip", "-o", "link", "show", "type", "veth"});
    const std::string rules = host_.Output({"/usr/sbin/iptables-save"});
    for (absl::string_view line : absl::StrSplit(rules, '\n')) {
      if (line.empty() || line[0] == '#') continue;                   // the time of day
      absl::StrAppend(&state, line.substr(0, line.find('[')), "\n");  // without counters
    }
    const auto leases = os::ListDir(AT_FDCWD, plugins_ / "leases/berth-test");
    for (const std::string& lease : leases.value_or(std::vector<std::string>())) {
      if (isdigit(static_cast<unsigned char>(lease[0]))) absl::StrAppend(&state, lease, "\n");
    }
    return state;
  }

  TestPlugins plugins_;
  NetNs host_;
  std::unique_ptr<store::Store> store_ = store::MakeMemoryStore();
  std::unique_ptr<Network> network_;
};

TEST_F(RealPluginsTest, APodIsReachedByAddressAndPortAndLeavesNothing) {
  // The first pod makes the bridge and the chains that portmap keeps.
  {
    const NetNs first;
    ASSERT_TRUE(Attach("first", first, {{Protocol::kTcp, 18079, 80, ""}}).ok());
    ASSERT_TRUE(Detach("first", first.path()).ok());
  }
  const std::string before = State();
  EXPECT_THAT(before, HasSubstr("CNI-HOSTPORT-DNAT"));

  const NetNs pod;
  const NetNs other;
  const absl::StatusOr<Attachment> attachment =
      Attach("pod", pod, {{Protocol::kTcp, 18080, 8080, ""}, {Protocol::kUdp, 18053, 53, ""}});
  ASSERT_TRUE(attachment.ok()) << attachment.status();
  const absl::StatusOr<Attachment> neighbour = Attach("other", other);
  ASSERT_TRUE(neighbour.ok()) << neighbour.status();
  ASSERT_EQ(attachment->ips.size(), 1u);
  const std::string ip = attachment->ips[0];
  EXPECT_THAT(ip, StartsWith("10.99.0."));
  EXPECT_THAT(pod.Output({"/usr/sbin/ip", "-o", "-4", "addr", "show", "eth0"}),
              HasSubstr(ip + "/24"));
  EXPECT_THAT(State(), Not(before));
  EXPECT_TRUE(Connects(pod, 8080, host_, ip, 8080)) << "from the host";
  EXPECT_TRUE(Connects(pod, 8080, other, ip, 8080)) << "across the bridge";
  EXPECT_TRUE(Connects(host_, 7000, pod, "10.99.0.1", 7000)) << "to the gateway";
  EXPECT_TRUE(Connects(pod, 8080, host_, "10.99.0.1", 18080)) << "by the mapped port";
  EXPECT_FALSE(Connects(pod, 8080, host_, "10.99.0.1", 18081)) << "a port that nobody mapped";

  EXPECT_TRUE(Detach("pod", pod.path()).ok());
  EXPECT_TRUE(Detach("other", other.path()).ok());
  EXPECT_EQ(State(), before);
  EXPECT_THAT(pod.Output({"/usr/sbin/ip", "-o", "link"}), Not(HasSubstr("eth0")));
  EXPECT_THAT(*store_->Load("attachment"), IsEmpty());
}

TEST_F(RealPluginsTest, ANamespaceThatIsGoneStillGivesItsAddressBack) {
  // The bridge plugin takes a pod's masquerading rule away by the addresses that it finds in the
  // namespace: without one (up to 1.1.1 at least) the rule stays. Everything else must go.
  std::string conf = plugins_.Read("net.d/10-net.conflist");
  const absl::string_view masq = R"("ipMasq":true,)";
  conf.erase(conf.find(masq.data()), masq.size());
  plugins_.Write(plugins_.conf() + "/10-net.conflist", conf, 0644);
  const NetNs first;
  ASSERT_TRUE(Attach("first", first, {{Protocol::kTcp, 18079, 80, ""}}).ok());
  ASSERT_TRUE(Detach("first", first.path()).ok());
  const std::string before = State();
  {
    const NetNs pod;
    ASSERT_TRUE(Attach("pod", pod, {{Protocol::kTcp, 18080, 8080, ""}}).ok());
  }
  const absl::Status detached = Detach("pod", "");
  EXPECT_TRUE(detached.ok()) << detached;
  // The kernel takes the links of a dead namespace in the background.
  const Deadline patience = Soon();
  while (State() != before && !patience.Expired()) {
  }
  EXPECT_EQ(State(), before);
}

TEST_F(RealPluginsTest, APluginThatFailsAfterTheRealOnesUndoesThem) {
  const NetNs pod;
  ASSERT_TRUE(Attach("first", pod, {{Protocol::kTcp, 18079, 80, ""}}).ok());
  ASSERT_TRUE(Detach("first", pod.path()).ok());
  const std::string before = State();
  plugins_.Install("last",
                   "[ $CNI_COMMAND = DEL ] && exit 0\necho '{\"code\":11,\"msg\":\"no\"}'; exit 1");
  std::string conf = plugins_.Read("net.d/10-net.conflist");
  conf.insert(conf.rfind("]}"), R"(,{"type":"last"})");
  plugins_.Write(plugins_.conf() + "/10-net.conflist", conf, 0644);
  const absl::Status status = Attach("pod", pod, {{Protocol::kTcp, 18080, 80, ""}}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_THAT(plugins_.TakeCalls(), ElementsAre("last ADD", "last DEL"));
  EXPECT_EQ(State(), before);
  EXPECT_THAT(network_->Attached(), IsEmpty());
}

TEST_F(RealPluginsTest, AFullRangeIsThePluginsOwnMessage) {
  plugins_.Write(
      plugins_.conf() + "/10-net.conflist",
      absl::StrCat(R"({"cniVersion":"0.4.0","name":"berth-test","plugins":[
      {"type":"bridge","bridge":"cni0","isGateway":true,"ipam":{"type":"host-local","dataDir":")",
                   plugins_ / "leases", R"(","ranges":[[{"subnet":"10.99.1.0/30"}]]}}]})"),
      0644);
  const NetNs pod;
  const NetNs second;
  ASSERT_TRUE(Attach("pod", pod).ok());
  const absl::Status status = Attach("second", second).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(status.message(), HasSubstr("no IP addresses available"));
  ASSERT_TRUE(Detach("pod", pod.path()).ok());
  EXPECT_TRUE(Attach("second", second).ok()) << "the address is free again";
  EXPECT_TRUE(Detach("second", second.path()).ok());
}

}  // namespace
}  // namespace berth::cni

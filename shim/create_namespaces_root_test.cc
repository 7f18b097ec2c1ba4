// Namespaces of a container: made, and joined by the path that the spec names.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/os/file.h"
#include "base/os/mount.h"
#include "shim/test_container.h"

namespace berth::shim {
namespace {

using oci::NamespaceType;
using ::testing::HasSubstr;

class CreateNamespacesTest : public ShimTest {
 protected:
  // What a container with this change to its spec is refused with.
  static std::string Refusal(const std::function<void(oci::Spec*)>& change) {
    TestContainer c(host_, {"/bin/true"});
    change(&c.spec());
    const absl::Status status = c.Create();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return std::string(status.message());
  }
};

std::string NsPath(pid_t pid, const std::string& name) {
  return absl::StrCat("/proc/", pid, "/ns/", name);
}

std::string Link(const std::string& path) {
  char text[256] = {};
  return readlink(path.c_str(), text, sizeof text - 1) > 0 ? text : "";
}

void Join(oci::Spec* spec, NamespaceType type, const std::string& path) {
  for (oci::Namespace& ns : spec->linux_.namespaces) {
    if (ns.type != type) continue;
    ns.path = path;
    return;
  }
  spec->linux_.namespaces.push_back({type, path});
}

TEST_F(CreateNamespacesTest, OnesOfAnotherContainerAreJoinedByPath) {
  TestContainer first(host_, {"/bin/sleep", "1000"});
  first.spec().linux_.namespaces.push_back({NamespaceType::kNetwork, ""});
  first.spec().linux_.namespaces.push_back({NamespaceType::kTime, ""});
  first.spec().linux_.time_offsets = {{"boottime", {1000000, 0}}};
  first.Run();
  TestContainer second(host_, {"/bin/sleep", "1000"});
  const std::pair<NamespaceType, const char*> joined[] = {
      {NamespaceType::kNetwork, "net"}, {NamespaceType::kIpc, "ipc"},
      {NamespaceType::kUts, "uts"},     {NamespaceType::kPid, "pid"},
      {NamespaceType::kTime, "time"},   {NamespaceType::kCgroup, "cgroup"}};
  for (const auto& [type, name] : joined) {
    Join(&second.spec(), type, NsPath(first.launched().init_pid, name));
  }
  second.Run();
  for (const auto& [type, name] : joined) {
    const std::string shared = Link(NsPath(first.launched().init_pid, name));
    EXPECT_EQ(Link(NsPath(second.launched().init_pid, name)), shared) << name;
    EXPECT_EQ(second.Exec(absl::StrCat("readlink /proc/self/ns/", name)), shared + "\n");
  }
  EXPECT_NE(Link(NsPath(second.launched().init_pid, "mnt")),
            Link(NsPath(first.launched().init_pid, "mnt")));
}

TEST_F(CreateNamespacesTest, InAJoinedMountNamespaceTheRootIsTheSpecsAndTheOthersKeepTheirs) {
  TestContainer first(host_, {"/bin/sleep", "1000"});
  first.Run();
  EXPECT_EQ(first.Exec("echo first > /whose; cat /whose"), "first\n");
  {
    TestContainer second(host_, {"/bin/sleep", "1000"});
    Join(&second.spec(), NamespaceType::kMount, NsPath(first.launched().init_pid, "mnt"));
    second.Run();
    EXPECT_EQ(Link(NsPath(second.launched().init_pid, "mnt")),
              Link(NsPath(first.launched().init_pid, "mnt")));
    EXPECT_EQ(second.Exec("ls /whose 2>/dev/null || echo second"), "second\n");
    const std::string root = absl::StrCat("/proc/", first.launched().init_pid, "/root/whose");
    EXPECT_EQ(os::ReadFile(root, 100).value_or(""), "first\n");
  }
}

TEST_F(CreateNamespacesTest, APathThatIsNoNamespaceOfTheTypeIsRefusedByItsPlace) {
  const auto with = [](NamespaceType type, const std::string& path) {
    return [=](oci::Spec* s) { Join(s, type, path); };
  };
  EXPECT_THAT(Refusal(with(NamespaceType::kIpc, "/proc/self/ns/net")),
              HasSubstr("linux.namespaces[2].path: /proc/self/ns/net is a namespace of type net, "
                        "not ipc"));
  EXPECT_THAT(Refusal(with(NamespaceType::kIpc, "/etc/passwd")),
              HasSubstr("linux.namespaces[2].path: /etc/passwd is no namespace"));
  EXPECT_THAT(Refusal(with(NamespaceType::kIpc, "/none/there")),
              HasSubstr("linux.namespaces[2].path: open /none/there: No such file"));
  EXPECT_THAT(Refusal(with(NamespaceType::kUser, "/proc/self/ns/user")),
              HasSubstr("linux.namespaces[5].path: /proc/self/ns/user is the runtime's own"));
  EXPECT_THAT(Refusal(with(NamespaceType::kMount, "/proc/self/ns/mnt")),
              HasSubstr("a mount namespace that is not the runtime's is required"));
}

TEST_F(CreateNamespacesTest, TheHostsOwnIsNotConfinedWhenItIsNamedByPath) {
  EXPECT_THAT(Refusal([](oci::Spec* s) {
                Join(s, NamespaceType::kNetwork, "/proc/self/ns/net");
                s->linux_.sysctl = {{"net.ipv4.ip_forward", "1"}};
              }),
              HasSubstr("linux.sysctl[\"net.ipv4.ip_forward\"]: is not confined"));
  EXPECT_THAT(Refusal([](oci::Spec* s) {
                Join(s, NamespaceType::kUts, "/proc/self/ns/uts");
                s->hostname = "x";
              }),
              HasSubstr("hostname: needs a UTS namespace"));
}

TEST_F(CreateNamespacesTest, ClocksHaveTheOffsetsOfTheSpecInExecsToo) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  c.spec().linux_.namespaces.push_back({NamespaceType::kTime, ""});
  c.spec().linux_.time_offsets = {{"monotonic", {7, 5}}, {"boottime", {500000000, 0}}};
  c.Run();
  const std::string offsets =
      os::ReadFile(absl::StrCat("/proc/", c.launched().init_pid, "/timens_offsets"), 1000)
          .value_or("");
  const std::vector<std::string> fields =
      absl::StrSplit(offsets, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  EXPECT_THAT(fields, ::testing::ElementsAre("monotonic", "7", "5", "boottime", "500000000", "0"));
  EXPECT_EQ(c.Exec("test $(busybox cut -d. -f1 /proc/uptime) -gt 500000000 && echo far"), "far\n");
}

TEST_F(CreateNamespacesTest, OffsetsTakeATimeNamespaceOfTheContainersOwn) {
  EXPECT_THAT(Refusal([](oci::Spec* s) {
                s->linux_.time_offsets = {{"boottime", {1, 0}}};
              }),
              HasSubstr("linux.timeOffsets: needs a new time namespace"));
}

TEST_F(CreateNamespacesTest, HostAndDomainNameAreSet) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  c.spec().hostname = "a-host";
  c.spec().domainname = "a-domain";
  c.Run();
  EXPECT_EQ(c.Exec("cat /proc/sys/kernel/hostname /proc/sys/kernel/domainname"),
            "a-host\na-domain\n");
}

// A pair of devices in a network namespace of this test's own, which the shims then start in.
class OwnNetwork {
 public:
  OwnNetwork() {
    host_ = os::Open("/proc/thread-self/ns/net", O_RDONLY).value();
    EXPECT_EQ(unshare(CLONE_NEWNET), 0);
  }
  ~OwnNetwork() { EXPECT_EQ(setns(host_.get(), CLONE_NEWNET), 0); }
  static void Run(const std::string& command) {
    EXPECT_EQ(system(("ip " + command).c_str()), 0) << command;  // NOLINT(cert-env33-c)
  }

 private:
  os::UniqueFd host_;
};

TEST_F(CreateNamespacesTest, DevicesOfTheHostMoveWithTheirAddresses) {
  const OwnNetwork network;
  OwnNetwork::Run("link add berth-a type veth peer name berth-b");
  OwnNetwork::Run("addr add 10.99.1.2/24 dev berth-a");
  OwnNetwork::Run("addr add fd99::2/64 dev berth-a nodad");
  TestContainer c(host_, {"/bin/sleep", "1000"});
  c.spec().linux_.namespaces.push_back({NamespaceType::kNetwork, ""});
  c.spec().linux_.net_devices = {{"berth-a", "eth0"}, {"berth-b", "other%d"}};
  c.Run();
  EXPECT_NE(system("ip link show dev berth-a 2>/dev/null"), 0);  // NOLINT(cert-env33-c)
  EXPECT_THAT(c.Exec("busybox ip addr show dev eth0"),
              ::testing::AllOf(HasSubstr("inet 10.99.1.2/24"), HasSubstr("inet6 fd99::2/64"),
                               HasSubstr("UP")));
  EXPECT_THAT(c.Exec("busybox ip link show dev other0"), HasSubstr("UP"));
}

TEST_F(CreateNamespacesTest, ADeviceThatCannotMoveIsRefusedByItsPath) {
  EXPECT_THAT(Refusal([](oci::Spec* s) {
                s->linux_.net_devices = {{"lo", ""}};
              }),
              HasSubstr("linux.netDevices[\"lo\"]: needs a network namespace"));
  const auto with_network = [](oci::Spec* s) {
    s->linux_.namespaces.push_back({NamespaceType::kNetwork, ""});
  };
  EXPECT_THAT(Refusal([&](oci::Spec* s) {
                with_network(s);
                s->linux_.net_devices = {{"berth-none", ""}};
              }),
              HasSubstr("linux.netDevices[\"berth-none\"]: the host has no such device"));
  EXPECT_THAT(Refusal([&](oci::Spec* s) {
                with_network(s);
                s->linux_.net_devices = {{"lo", ""}};  // never leaves its namespace
              }),
              HasSubstr("linux.netDevices: move network device lo"));
}

void MapIds(oci::Spec* spec) {
  spec->linux_.mappings = {{{0, 300000, 65536}}, {{0, 300000, 65536}}};
  oci::Capabilities& caps = spec->process.capabilities;
  caps.bounding = {"CAP_CHOWN", "CAP_DAC_OVERRIDE"};
  caps.permitted = caps.effective = caps.bounding;
}

TEST_F(CreateNamespacesTest, AUserNamespaceIsMadeWithItsMapsAndOwnsTheOthers) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  MapIds(&c.spec());
  for (const NamespaceType type :
       {NamespaceType::kUser, NamespaceType::kNetwork, NamespaceType::kTime}) {
    c.spec().linux_.namespaces.push_back({type, ""});
  }
  c.spec().linux_.time_offsets = {{"boottime", {300000000, 0}}};
  c.spec().hostname = "inside";
  c.spec().linux_.sysctl = {{"net.ipv4.ip_forward", "1"}};
  c.Run();
  EXPECT_EQ(c.Exec("id -u; busybox stat -c %u /; busybox hostname; cat "
                   "/proc/sys/net/ipv4/ip_forward; test $(busybox cut -d. -f1 /proc/uptime) -gt "
                   "300000000 && echo far"),
            "0\n0\ninside\n1\nfar\n");
  const std::string map =
      os::ReadFile(absl::StrCat("/proc/", c.launched().init_pid, "/uid_map"), 1000).value_or("");
  const std::vector<std::string> fields =
      absl::StrSplit(map, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  EXPECT_THAT(fields, ::testing::ElementsAre("0", "300000", "65536"));

  // Another one joins it by path, and a network namespace that the host's own user namespace owns.
  TestContainer plain(host_, {"/bin/sleep", "1000"});
  plain.spec().linux_.namespaces.push_back({NamespaceType::kNetwork, ""});
  plain.Run();
  TestContainer joined(host_, {"/bin/sleep", "1000"});
  Join(&joined.spec(), NamespaceType::kUser, NsPath(c.launched().init_pid, "user"));
  Join(&joined.spec(), NamespaceType::kNetwork, NsPath(plain.launched().init_pid, "net"));
  joined.Run();
  EXPECT_EQ(Link(NsPath(joined.launched().init_pid, "user")),
            Link(NsPath(c.launched().init_pid, "user")));
  EXPECT_EQ(Link(NsPath(joined.launched().init_pid, "net")),
            Link(NsPath(plain.launched().init_pid, "net")));
  EXPECT_EQ(joined.Exec("id -u"), "0\n");
}

TEST_F(CreateNamespacesTest, MappingsMustBeThoseOfTheUserNamespaceThatIsJoined) {
  TestContainer c(host_, {"/bin/sleep", "1000"});
  MapIds(&c.spec());
  c.spec().linux_.namespaces.push_back({NamespaceType::kUser, ""});
  c.Run();
  EXPECT_THAT(Refusal([&](oci::Spec* s) {
                Join(s, NamespaceType::kUser, NsPath(c.launched().init_pid, "user"));
                s->linux_.mappings = {{{0, 1, 2}}, {{0, 1, 2}}};
              }),
              HasSubstr("linux.uidMappings: are not those of /proc/"));
}

}  // namespace
}  // namespace berth::shim

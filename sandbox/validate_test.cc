#include "sandbox/validate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "sandbox/testing/fakes.h"

namespace berth::sandbox {
namespace {

using ::testing::HasSubstr;
using testing::World;

struct PodCase {
  std::function<void(cri::RunPodSandboxRequest&)> edit;
  absl::StatusCode code;
  const char* words;
};

cri::LinuxSandboxSecurityContext* Security(cri::RunPodSandboxRequest& r) {
  return r.mutable_config()->mutable_linux()->mutable_security_context();
}
cri::NamespaceOption* Options(cri::RunPodSandboxRequest& r) {
  return Security(r)->mutable_namespace_options();
}

TEST(ValidatePodSandboxTest, EachRefusalNamesFieldAndValue) {
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  constexpr auto kNot = absl::StatusCode::kUnimplemented;
  using R = cri::RunPodSandboxRequest;
  const PodCase cases[] = {
      {[](R& r) { r.mutable_config()->clear_metadata(); }, kInvalid, "config.metadata"},
      {[](R& r) { r.mutable_config()->mutable_metadata()->clear_name(); }, kInvalid,
       "metadata.name"},
      {[](R& r) { r.mutable_config()->mutable_metadata()->clear_namespace_(); }, kInvalid,
       "metadata.namespace"},
      {[](R& r) { r.mutable_config()->mutable_metadata()->clear_uid(); }, kInvalid, "metadata.uid"},
      {[](R& r) { r.set_runtime_handler("runsc"); }, kInvalid, "runsc"},
      {[](R& r) { r.mutable_config()->set_hostname("a\nb"); }, kInvalid, "hostname"},
      {[](R& r) { r.mutable_config()->set_log_directory("/a/../b"); }, kInvalid, "log_directory"},
      {[](R& r) { r.mutable_config()->mutable_dns_config()->add_servers("1\n2"); }, kInvalid,
       "dns"},
      {[](R& r) { Options(r)->set_network(cri::CONTAINER); }, kNot, "network: CONTAINER"},
      {[](R& r) { Options(r)->set_pid(cri::TARGET); }, kNot, "pid: TARGET"},
      {[](R& r) { Options(r)->set_ipc(cri::CONTAINER); }, kNot, "ipc: CONTAINER"},
      {[](R& r) { Options(r)->set_target_id("abc"); }, kNot, "abc"},
      {[](R& r) { Options(r)->mutable_userns_options()->set_mode(cri::POD); }, kInvalid,
       "userns_options.uids"},
      {[](R& r) { Security(r)->mutable_selinux_options()->set_level("s0"); }, kNot, "selinux"},
      {[](R& r) {
         Security(r)->mutable_seccomp()->set_profile_type(cri::SecurityProfile::Localhost);
       },
       kInvalid, "seccomp.localhost_ref"},
      {[](R& r) { Security(r)->mutable_seccomp()->set_localhost_ref("/p/x.json"); }, kInvalid,
       "another type"},
      {[](R& r) {
         Security(r)->mutable_apparmor()->set_profile_type(cri::SecurityProfile::Localhost);
       },
       kNot, "apparmor"},
      {[](R& r) { Security(r)->mutable_run_as_group()->set_value(1); }, kInvalid, "run_as_group"},
      {[](R& r) { (*r.mutable_config()->mutable_linux()->mutable_sysctls())["net.a"] = "1"; },
       kInvalid, "net.a"},
      {[](R& r) {
         (*r.mutable_config()->mutable_linux()->mutable_sysctls())["kernel.panic"] = "1";
       },
       kInvalid, "kernel.panic"},
      {[](R& r) { r.mutable_config()->mutable_linux()->set_cgroup_parent("x.slice"); }, kInvalid,
       "systemd driver"},
      {[](R& r) { r.mutable_config()->mutable_linux()->set_cgroup_parent("a/b"); }, kInvalid,
       "cgroup_parent"},
      {[](R& r) { r.mutable_config()->mutable_linux()->set_cgroup_parent("/a/../b"); }, kInvalid,
       "cgroup_parent"},
  };
  for (const PodCase& c : cases) {
    cri::RunPodSandboxRequest request;
    *request.mutable_config() = World::PodConfig("pod");
    ASSERT_TRUE(ValidatePodSandbox(request, {}).ok());
    c.edit(request);
    const absl::Status status = ValidatePodSandbox(request, {});
    EXPECT_EQ(status.code(), c.code) << c.words << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.words));
  }
}

TEST(ValidatePodSandboxTest, WhatIsHarmlessIsAccepted) {
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = World::PodConfig("pod");
  request.set_runtime_handler("berth");
  request.mutable_config()->add_port_mappings()->set_host_port(80);
  request.mutable_config()->mutable_linux()->set_cgroup_parent("/kubepods/pod1");
  Options(request)->set_ipc(cri::NODE);
  Options(request)->set_pid(cri::NODE);
  Security(request)->mutable_seccomp()->set_profile_type(cri::SecurityProfile::RuntimeDefault);
  EXPECT_TRUE(ValidatePodSandbox(request, {}).ok());
}

TEST(ValidateContainerTest, EachRefusalNamesFieldAndValue) {
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  constexpr auto kNot = absl::StatusCode::kUnimplemented;
  using C = cri::ContainerConfig;
  struct Case {
    std::function<void(C&)> edit;
    absl::StatusCode code;
    const char* words;
  };
  const auto security = [](C& c) { return c.mutable_linux()->mutable_security_context(); };
  const auto options = [security](C& c) {
    cri::NamespaceOption* o = security(c)->mutable_namespace_options();
    *o = World::PodConfig("pod").linux().security_context().namespace_options();
    return o;
  };
  const Case cases[] = {
      {[](C& c) { c.clear_metadata(); }, kInvalid, "metadata.name"},
      {[](C& c) { c.clear_image(); }, kInvalid, "config.image.image"},
      {[](C& c) { c.set_log_path("../x"); }, kInvalid, "log_path"},
      {[](C& c) { c.set_log_path("/x"); }, kInvalid, "log_path"},
      {[](C& c) { c.set_log_path("a\nb"); }, kInvalid, "log_path"},
      {[](C& c) { c.add_devices()->set_host_path("/dev/kvm"); }, kNot, "/dev/kvm"},
      {[](C& c) { c.add_cdi_devices()->set_name("v/c=d"); }, kNot, "v/c=d"},
      {[](C& c) { (*c.mutable_annotations())["cdi.k8s.io/x"] = "y"; }, kNot, "cdi.k8s.io/x"},
      {[&](C& c) { security(c)->set_privileged(true); }, kInvalid, "privileged"},
      {[&](C& c) { security(c)->mutable_selinux_options()->set_type("t"); }, kNot, "selinux"},
      {[&](C& c) { options(c)->set_pid(cri::POD); }, kInvalid, "pid: POD"},
      {[&](C& c) { options(c)->set_pid(cri::TARGET); }, kNot, "pid: TARGET"},
      {[&](C& c) { options(c)->set_network(cri::POD); }, kNot, "network: POD"},
      {[&](C& c) { options(c)->set_ipc(cri::NODE); }, kNot, "ipc: NODE"},
  };
  for (const Case& c : cases) {
    cri::ContainerConfig config = World::ContainerConfig("main");
    ASSERT_TRUE(ValidateContainer(config, World::PodConfig("pod")).ok());
    c.edit(config);
    const absl::Status status = ValidateContainer(config, World::PodConfig("pod"));
    EXPECT_EQ(status.code(), c.code) << c.words << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.words));
  }
}

}  // namespace
}  // namespace berth::sandbox

// The whole library against plugins that the test writes. Needs no root: they touch no network.
#include "cni/network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "base/failpoint.h"
#include "base/os/process.h"
#include "cni/test_plugins.h"

namespace berth::cni {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Deadline Soon() { return Deadline::After(absl::Seconds(60)); }

class NetworkTest : public ::testing::Test {
 protected:
  void TearDown() override { ASSERT_TRUE(failpoint::Configure("").ok()); }

  void Open(absl::Duration timeout = absl::Seconds(30)) {
    network_.reset();
    Network::Options options;
    options.conf_dir = plugins_.conf();
    options.bin_dirs = {plugins_ / "none", plugins_.bin()};
    options.plugin_timeout = timeout;
    absl::StatusOr<std::unique_ptr<Network>> network = Network::Open(options, store_.get());
    ASSERT_TRUE(network.ok()) << network.status();
    network_ = *std::move(network);
  }
  static AttachRequest Request() {
    AttachRequest request;
    request.id = "pod1";
    request.netns_path = "/run/netns/pod1";
    request.args = {{"IgnoreUnknown", "1"}, {"K8S_POD_NAME", "a"}};
    return request;
  }
  absl::StatusOr<Attachment> Attach() { return network_->Attach(Request(), Soon()); }
  absl::Status Detach() { return network_->Detach("pod1", "/run/netns/pod1", Soon()); }
  // ADD fails with `code`, the message has `text`, and everything was undone.
  void ExpectRefused(absl::StatusCode code, const std::string& text) {
    const absl::Status status = Attach().status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(status.message(), HasSubstr(text));
    EXPECT_THAT(network_->Attached(), IsEmpty());
    EXPECT_THAT(*store_->Load("attachment"), IsEmpty());
  }

  TestPlugins plugins_;
  std::unique_ptr<store::Store> store_ = store::MakeMemoryStore();
  std::unique_ptr<Network> network_;
};

TEST_F(NetworkTest, AChainIsAddedForwardAndDeletedBackward) {
  plugins_.InstallGood("a", TestPlugins::Address("10.9.0.2"));
  plugins_.InstallGood("b", TestPlugins::Address("10.9.0.3"));
  plugins_.Configure({"a", "b"}, R"(,"capabilities":{"portMappings":true})");
  Open();
  ASSERT_TRUE(network_->Ready().ok()) << network_->Ready();
  AttachRequest request = Request();
  request.port_mappings = {{Protocol::kUdp, 53, 5353, ""}};
  absl::StatusOr<Attachment> attachment = network_->Attach(request, Soon());
  ASSERT_TRUE(attachment.ok()) << attachment.status();
  EXPECT_THAT(attachment->ips, ElementsAre("10.9.0.3"));
  EXPECT_THAT(network_->Attached(), ElementsAre("pod1"));
  EXPECT_THAT(plugins_.TakeCalls(), ElementsAre("a ADD", "b ADD"));
  const std::string runtime =
      R"("runtimeConfig":{"portMappings":[{"containerPort":5353,"hostPort":53,"protocol":"udp"}]})";
  EXPECT_EQ(plugins_.Read("a.ADD"),
            absl::StrCat(R"({"cniVersion":"1.0.0","name":"net","type":"a",)", runtime, "}"));
  EXPECT_EQ(plugins_.Read("b.ADD"),
            absl::StrCat(R"({"cniVersion":"1.0.0","name":"net","type":"b",)", runtime,
                         R"(,"prevResult":)", TestPlugins::Address("10.9.0.2"), "}"));
  EXPECT_EQ(Attach().status().code(), absl::StatusCode::kAlreadyExists);

  ASSERT_TRUE(Detach().ok());
  EXPECT_THAT(plugins_.TakeCalls(), ElementsAre("b DEL", "a DEL"));
  for (const char* input : {"a.DEL", "b.DEL"}) {
    EXPECT_THAT(plugins_.Read(input), HasSubstr(absl::StrCat(runtime, R"(,"prevResult":)",
                                                             TestPlugins::Address("10.9.0.3"))));
  }
  EXPECT_THAT(network_->Attached(), IsEmpty());
  EXPECT_THAT(*store_->Load("attachment"), IsEmpty());
  ASSERT_TRUE(Detach().ok()) << "again is success";
  EXPECT_THAT(plugins_.TakeCalls(), IsEmpty());
}

TEST_F(NetworkTest, TheEnvironmentIsTheSpecificationsAndNothingElse) {
  plugins_.Install("a", absl::StrCat("/usr/bin/env | sort > $D/env.$CNI_COMMAND\necho '",
                                     TestPlugins::Address("10.9.0.2"), "'"));
  plugins_.Configure({"a"});
  Open();
  ASSERT_TRUE(Attach().ok());
  const std::string env = plugins_.Read("env.ADD");
  for (const std::string& line :
       {std::string("CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAME=a"), std::string("CNI_COMMAND=ADD"),
        std::string("CNI_CONTAINERID=pod1"), std::string("CNI_IFNAME=eth0"),
        std::string("CNI_NETNS=/run/netns/pod1"),
        absl::StrCat("CNI_PATH=", plugins_ / "none", ":", plugins_.bin())}) {
    EXPECT_THAT(env, HasSubstr(line + "\n"));
  }
  // PWD, OLDPWD and _ are the shell's own.
  for (absl::string_view line : absl::StrSplit(env, '\n', absl::SkipEmpty())) {
    EXPECT_TRUE(line.substr(0, 4) == "CNI_" || line.substr(0, 5) == "PATH=" ||
                line.substr(0, 4) == "PWD=" || line.substr(0, 7) == "OLDPWD=" ||
                line.substr(0, 2) == "_=")
        << line;
  }
  ASSERT_TRUE(network_->Detach("pod1", "", Soon()).ok());
  EXPECT_THAT(plugins_.Read("env.DEL"), HasSubstr("CNI_NETNS=\n")) << "the namespace is gone";
}

TEST_F(NetworkTest, VersionIsAskedOncePerProgramFile) {
  plugins_.InstallGood("a");
  plugins_.Configure({"a"});
  Open();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(Attach().ok());
    ASSERT_TRUE(Detach().ok());
  }
  EXPECT_EQ(plugins_.Read("calls"), "a VERSION\na ADD\na DEL\na ADD\na DEL\na ADD\na DEL\n");
  (void)plugins_.TakeCalls();
  ASSERT_EQ(unlink((plugins_.bin() + "/a").c_str()), 0);
  plugins_.InstallGood("a", TestPlugins::Address("10.99.0.22"));
  ASSERT_TRUE(Attach().ok());
  EXPECT_EQ(plugins_.Read("calls"), "a VERSION\na ADD\n") << "another file";
}

TEST_F(NetworkTest, AConfigurationIsPickedUpReplacedAndMissed) {
  ASSERT_TRUE(os::RemoveTree(AT_FDCWD, plugins_.conf()).ok());
  Open();
  EXPECT_THAT(network_->Ready().message(), HasSubstr("net.d: No such file or directory"));
  EXPECT_EQ(Attach().status().code(), absl::StatusCode::kFailedPrecondition);
  ASSERT_EQ(mkdir(plugins_.conf().c_str(), 0755), 0);
  EXPECT_THAT(network_->Ready().message(), HasSubstr("has no file *.conflist"));
  plugins_.Write(plugins_.conf() + "/05-broken.conf", "{\n  \"name\": oops}", 0644);
  plugins_.Write(plugins_.conf() + "/README", "not for us", 0644);
  EXPECT_THAT(network_->Ready().message(), HasSubstr("05-broken.conf: line 2, column 11: "));
  plugins_.Configure({"a"});
  const absl::Status missing = network_->Ready();
  EXPECT_EQ(missing.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(missing.message(), HasSubstr("network net: CNI plugin a: no such program in"));
  plugins_.InstallGood("a");
  EXPECT_TRUE(network_->Ready().ok()) << network_->Ready();
  ASSERT_TRUE(Attach().ok());

  // What is attached does not need the configuration any more.
  ASSERT_TRUE(os::RemoveTree(AT_FDCWD, plugins_.conf()).ok());
  EXPECT_EQ(network_->Ready().code(), absl::StatusCode::kFailedPrecondition);
  Open();
  EXPECT_THAT(network_->Attached(), ElementsAre("pod1"));
  ASSERT_TRUE(Detach().ok());
}

TEST_F(NetworkTest, ASecondPluginThatFailsUndoesBothInReverse) {
  plugins_.InstallGood("a");
  plugins_.Install("b", R"([ $CNI_COMMAND = DEL ] && exit 0
echo 'level=noise' >&2
echo '{"code":7,"msg":"bad mode","details":"line\\n2"}'; exit 1)");
  plugins_.Configure({"a", "b"});
  Open();
  ExpectRefused(absl::StatusCode::kFailedPrecondition,
                "CNI plugin b, ADD for network net: error code 7: bad mode: line 2; standard "
                "error: level=noise");
  EXPECT_THAT(plugins_.TakeCalls(), ElementsAre("a ADD", "b ADD", "b DEL", "a DEL"));
  EXPECT_THAT(plugins_.Read("b.DEL"), HasSubstr("10.9.0.2")) << "what is known is handed over";
}

TEST_F(NetworkTest, EachWayToFailHasItsCodeAndCause) {
  struct Failure {
    std::string body;
    absl::StatusCode code;
    std::string text;
  };
  const std::vector<Failure> failures = {
      {R"(echo '{"code":11,"msg":"busy"}'; exit 1)", absl::StatusCode::kUnavailable,
       "error code 11: busy"},
      {R"(echo '{"code":999,"msg":"boom"}'; exit 1)", absl::StatusCode::kInternal,
       "error code 999: boom"},
      {"echo trouble; exit 3", absl::StatusCode::kInternal,
       "exit code 3, and no CNI error object but \"trouble\""},
      {"echo why >&2; exit 3", absl::StatusCode::kInternal, "but nothing; standard error: why"},
      {"kill -KILL $$", absl::StatusCode::kInternal, "killed by signal 9"},
      {"exit 0", absl::StatusCode::kInternal, "printed no result"},
      {"echo garbage", absl::StatusCode::kInternal, "printed no JSON but \"garbage\""},
      {R"(echo '{"cniVersion":"9.0.0"}')", absl::StatusCode::kInternal, "not a known version"},
      {R"(echo '{"ips":[{"address":"10.0.0.1/99"}]}')", absl::StatusCode::kInternal,
       "is not an address"},
      {R"(echo '{"ips":[]}')", absl::StatusCode::kInternal, "has no address for the pod"},
      {"exec dd if=/dev/zero bs=64k count=64 2>/dev/null", absl::StatusCode::kInternal,
       "printed more than 1048576 bytes, killed"},
  };
  plugins_.Configure({"a"});
  Open();
  for (const Failure& failure : failures) {
    plugins_.Install("a", absl::StrCat("[ $CNI_COMMAND = DEL ] && exit 0\n", failure.body));
    ExpectRefused(failure.code, failure.text);
    EXPECT_THAT(plugins_.TakeCalls(), ElementsAre("a ADD", "a DEL")) << failure.text;
  }
}

TEST_F(NetworkTest, WhatCannotBeStartedIsToldBeforeAnythingIsDone) {
  plugins_.InstallGood("a");
  plugins_.Configure({"a", "missing"});
  Open();
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "CNI plugin missing: no such program in ");
  plugins_.Write(plugins_.bin() + "/missing", "#!/nonexistent\n", 0755);
  ExpectRefused(absl::StatusCode::kFailedPrecondition, "No such file or directory");
  EXPECT_THAT(plugins_.TakeCalls(), IsEmpty());
}

TEST_F(NetworkTest, AHungPluginIsKilledWithItsChildren) {
  plugins_.Install("a", R"([ $CNI_COMMAND = DEL ] && exit 0
echo thinking >&2; sleep 1000 & echo $! > $D/child; wait)");
  plugins_.Configure({"a"});
  Open(absl::Milliseconds(300));
  const int64_t begin = MonotonicNanos();
  ExpectRefused(absl::StatusCode::kDeadlineExceeded,
                "did not end in time, killed; standard error: "
                "thinking");
  EXPECT_LT(MonotonicNanos() - begin, absl::ToInt64Nanoseconds(absl::Seconds(2)));
  int pid = 0;
  ASSERT_TRUE(absl::SimpleAtoi(plugins_.Read("child"), &pid));
  const Deadline patience = Soon();
  while (!os::IsDead(pid) && !patience.Expired()) {
  }
  EXPECT_TRUE(os::IsDead(pid));
  EXPECT_THAT(plugins_.TakeCalls(), ElementsAre("a ADD", "a DEL"));
}

TEST_F(NetworkTest, ADelThatFailsKeepsTheRecordUntilOneSucceeds) {
  plugins_.InstallGood("a");
  plugins_.Install("b", absl::StrCat("if [ $CNI_COMMAND = DEL ]; then [ -e $D/ok ] || exit 1; else "
                                     "echo '",
                                     TestPlugins::Address("10.9.0.2"), "'; fi"));
  plugins_.Configure({"a", "b"});
  Open();
  ASSERT_TRUE(Attach().ok());
  (void)plugins_.TakeCalls();
  EXPECT_EQ(Detach().code(), absl::StatusCode::kInternal);
  EXPECT_THAT(plugins_.TakeCalls(), ElementsAre("b DEL")) << "a's address stays taken";
  Open();  // a restart
  EXPECT_THAT(network_->Attached(), ElementsAre("pod1"));
  EXPECT_EQ(Detach().code(), absl::StatusCode::kInternal);
  plugins_.Write(plugins_ / "ok", "", 0644);
  (void)plugins_.TakeCalls();
  EXPECT_TRUE(Detach().ok());
  EXPECT_THAT(plugins_.TakeCalls(), ElementsAre("b DEL", "a DEL"));
  EXPECT_THAT(*store_->Load("attachment"), IsEmpty());
}

TEST_F(NetworkTest, AFailedAddWhoseDelFailsIsKeptForDetach) {
  plugins_.Install("a", "[ -e $D/ok ] && [ $CNI_COMMAND = DEL ] && exit 0\nexit 1");
  plugins_.Configure({"a"});
  Open();
  const absl::Status status = Attach().status();
  EXPECT_THAT(status.message(), HasSubstr("kept to be undone again: CNI plugin a, DEL for"));
  EXPECT_THAT(network_->Attached(), ElementsAre("pod1"));
  EXPECT_EQ(Attach().status().code(), absl::StatusCode::kFailedPrecondition);
  plugins_.Write(plugins_ / "ok", "", 0644);
  EXPECT_TRUE(Detach().ok());
  EXPECT_THAT(network_->Attached(), IsEmpty());
}

TEST_F(NetworkTest, BadParametersAreRefusedUnseen) {
  plugins_.InstallGood("a");
  plugins_.Configure({"a"});
  Open();
  const auto refused = [&](void (*edit)(AttachRequest*)) {
    AttachRequest request = Request();
    edit(&request);
    const absl::Status status = network_->Attach(request, Soon()).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  };
  refused([](AttachRequest* r) { r->id = ""; });
  refused([](AttachRequest* r) { r->id = "../x"; });
  refused([](AttachRequest* r) { r->if_name = "sixteen-or-longer"; });
  refused([](AttachRequest* r) { r->if_name = "a/b"; });
  refused([](AttachRequest* r) { r->netns_path = "relative"; });
  refused([](AttachRequest* r) { r->args = {{"A", "b;C=d"}}; });
  refused([](AttachRequest* r) { r->port_mappings = {{Protocol::kTcp, 0, 80, ""}}; });
  EXPECT_THAT(plugins_.TakeCalls(), IsEmpty());
  Network::Options options;
  options.conf_dir = "etc";
  EXPECT_TRUE(absl::IsInvalidArgument(Network::Open(options, store_.get()).status()));
  options = {};
  options.bin_dirs = {"/a:b"};
  EXPECT_TRUE(absl::IsInvalidArgument(Network::Open(options, store_.get()).status()));
}

TEST_F(NetworkTest, ARecordThatMakesNoSenseIsPutAside) {
  store::Batch batch;
  batch.Put({"attachment", "pod9", 1, "nonsense"});
  ASSERT_TRUE(store_->Commit(batch, store::Sync::kNormal).ok());
  Open();
  EXPECT_THAT(network_->Attached(), IsEmpty());
  EXPECT_EQ(*store_->CountQuarantined(), 1u);
}

// kill -9 at each durable step: the next start has the record, and Detach clears everything.
TEST_F(NetworkTest, AKillAtAnyPointLeavesARecordThatDetachClears) {
  plugins_.InstallGood("a");
  plugins_.InstallGood("b");
  plugins_.Configure({"a", "b"});
  for (const char* plan : {"cni_attach_after_intent=kill", "cni_attach_after_add=kill",
                           "cni_attach_after_add=1*off->kill", "cni_detach_before_forget=kill"}) {
    const std::string database = plugins_ / "berth.db";
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      if (!failpoint::Configure(plan).ok()) _exit(3);
      store_ = *store::Store::Open(database);
      Open();
      (void)Attach();
      (void)Detach();
      _exit(4);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << plan << " " << status;
    network_.reset();
    store_ = *store::Store::Open(database);
    Open();
    EXPECT_THAT(network_->Attached(), ElementsAre("pod1")) << plan;
    (void)plugins_.TakeCalls();
    EXPECT_TRUE(network_->Detach("pod1", "", Soon()).ok()) << plan;
    EXPECT_THAT(plugins_.TakeCalls(), ElementsAre("b DEL", "a DEL")) << plan;
    EXPECT_THAT(*store_->Load("attachment"), IsEmpty()) << plan;
    network_.reset();
    store_.reset();
  }
}

TEST_F(NetworkTest, AFailureToRecordIsAFailureToAttach) {
  plugins_.InstallGood("a");
  plugins_.Configure({"a"});
  Open();
  ASSERT_TRUE(failpoint::Configure("cni_attach_after_add=error").ok());
  EXPECT_FALSE(Attach().ok());
  EXPECT_THAT(plugins_.TakeCalls(), ElementsAre("a ADD", "a DEL"));
  EXPECT_THAT(network_->Attached(), IsEmpty());
}

}  // namespace
}  // namespace berth::cni

#include "shim/test_container.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/os/file.h"

namespace berth::shim {
namespace {

void ExpectOk(const absl::Status& status) { EXPECT_TRUE(status.ok()) << status; }

oci::Mount Kernel(const std::string& destination, const std::string& type,
                  std::vector<std::string> options) {
  return {destination, type, type, std::move(options)};
}

}  // namespace

std::string TestTag() { return absl::StrCat("berth-test-", getpid()); }

TestHost::TestHost(const std::string& cgroup_root)
    : dir_(absl::StrCat("/tmp/", TestTag(), "-shim")) {
  ExpectOk(os::MakeDirs(dir_ + "/run", 0700));
  ExpectOk(os::MakeDirs(dir_ + "/data/containers", 0700));
  ExpectOk(os::MakeDirs(dir_ + "/logs", 0700));
  MakeLayer();
  absl::StatusOr<os::CgroupHost> cgroups = os::CgroupHost::Probe(cgroup_root);
  ExpectOk(cgroups.status());
  cgroups_ = std::make_unique<os::CgroupHost>(*cgroups);
  Launcher::Options options;
  options.shim_path = BERTH_SHIM_PATH;
  options.data_dir = dir_ + "/data";
  options.run_dir = dir_ + "/run";
  options.cgroup_root = "/" + TestTag();
  absl::StatusOr<std::unique_ptr<Launcher>> launcher = Launcher::Open(options, *cgroups);
  ExpectOk(launcher.status());
  launcher_ = *std::move(launcher);
  // What all containers share stays: the parent of their cgroups.
  ExpectOk(cgroups_->Create(absl::StrCat("/", TestTag(), "/pods")).status());
  absl::StatusOr<std::unique_ptr<Watcher>> watcher =
      Watcher::Start([this](const ContainerId& id, WatchEvent event) {
        MutexLock lock(&mu_);
        events_[id] = event;
        told_.NotifyAll();
      });
  ExpectOk(watcher.status());
  watcher_ = *std::move(watcher);
}

TestHost::~TestHost() {
  watcher_.reset();
  launcher_.reset();
  ExpectOk(cgroups_->Remove("/" + TestTag(), TestContainer::Soon()));
  ExpectOk(os::RemoveTree(AT_FDCWD, dir_));
}

void TestHost::MakeLayer() {
  const std::string layer = dir_ + "/data/layers/busybox";
  for (const char* sub : {"bin", "dev", "proc", "sys", "tmp", "etc", "vol"}) {
    ExpectOk(os::MakeDirs(absl::StrCat(layer, "/", sub), 0755));
  }
  const absl::StatusOr<std::string> busybox = os::ReadFile("/bin/busybox", 16 << 20);
  ASSERT_TRUE(busybox.ok()) << busybox.status() << " (Debian package busybox-static)";
  const absl::StatusOr<os::UniqueFd> copy =
      os::Open(layer + "/bin/busybox", O_WRONLY | O_CREAT | O_EXCL, 0755);
  ExpectOk(copy.status());
  ExpectOk(os::WriteAll(copy->get(), *busybox));
  for (const char* applet :
       {"sh", "sleep", "seq", "echo", "cat", "head", "yes", "true", "false", "kill", "ls", "grep",
        "mount", "id", "readlink", "wc", "tty", "stty", "stat"}) {
    EXPECT_EQ(symlink("busybox", absl::StrCat(layer, "/bin/", applet).c_str()), 0);
  }
}

WatchEvent TestHost::AwaitEvent(const ContainerId& id) {
  const Deadline deadline = TestContainer::Soon();
  MutexLock lock(&mu_);
  while (events_.count(id) == 0 && !deadline.Expired()) told_.WaitFor(&mu_, deadline.Remaining());
  EXPECT_EQ(events_.count(id), 1U) << "the watcher said nothing";
  return events_[id];
}

TestContainer::TestContainer(TestHost* host, std::vector<std::string> args)
    : host_(host), id_(ContainerId::New()), launch_{id_} {
  const std::string dir = absl::StrCat("containers/", id_.str());
  launch_.root.lowers = {"layers/busybox"};
  launch_.root.upper = dir + "/upper";
  launch_.root.work = dir + "/work";
  for (const std::string& path : {launch_.root.upper, launch_.root.work}) {
    ExpectOk(os::MakeDirs(absl::StrCat(host_->dir(), "/data/", path), 0755));
  }
  absl::StatusOr<os::UniqueFd> log =
      os::Open(log_path(), O_WRONLY | O_APPEND | O_CREAT | O_EXCL, 0640);
  ExpectOk(log.status());
  launch_.log = *std::move(log);

  oci::Spec& spec = launch_.spec;
  spec.process.args = std::move(args);
  spec.process.env = {"PATH=/bin"};
  spec.hostname = "";
  spec.mounts = {Kernel("/proc", "proc", {"nosuid", "noexec", "nodev"}),
                 Kernel("/dev", "tmpfs", {"nosuid", "mode=755", "size=64k"})};
  for (oci::NamespaceType type :
       {oci::NamespaceType::kPid, oci::NamespaceType::kMount, oci::NamespaceType::kIpc,
        oci::NamespaceType::kUts, oci::NamespaceType::kCgroup}) {
    spec.linux_.namespaces.push_back({type, ""});
  }
  spec.linux_.cgroups_path = group();
}

TestContainer::~TestContainer() {
  ExpectOk(Remove());
  (void)unlink(log_path().c_str());
  const absl::StatusOr<os::UniqueFd> data =
      os::Open(host_->dir() + "/data/containers", O_RDONLY | O_DIRECTORY);
  ExpectOk(data.status());
  // The overlay's own teardown, in the shim that was killed, is over: its cgroup is gone.
  ExpectOk(os::RemoveTree(data->get(), id_.str()));
}

absl::Status TestContainer::Create() {
  absl::StatusOr<Launched> launched = host_->launcher().Create(std::move(launch_), Soon());
  if (launched.ok()) launched_ = *launched;
  return launched.status();
}

void TestContainer::Run() {
  ASSERT_TRUE(spec().linux_.cgroups_path == group());
  const absl::Status created = Create();
  ASSERT_TRUE(created.ok()) << created;
  absl::StatusOr<os::UniqueFd> watch = client().Watch(Soon());
  ASSERT_TRUE(watch.ok()) << watch.status();
  ExpectOk(host_->watcher().Add(id_, *std::move(watch)));
  const absl::Status started = Start();
  ASSERT_TRUE(started.ok()) << started;
}

ExitRecord TestContainer::AwaitExit() {
  EXPECT_EQ(host_->AwaitEvent(id_), WatchEvent::kExited);
  const absl::StatusOr<std::optional<ExitRecord>> exit = client().ReadExit(os::BootId().value());
  EXPECT_TRUE(exit.ok()) << exit.status();
  EXPECT_TRUE(exit.ok() && exit->has_value()) << "no exit record";
  return exit.ok() && exit->has_value() ? **exit : ExitRecord{-1, -1, -1, OomLevel::kNone};
}

absl::Status TestContainer::Remove() {
  host_->watcher().Remove(id_);
  return host_->launcher().Remove(id_, group(), Soon());
}

std::string TestContainer::Exec(const std::string& script) {
  ExecOptions options;
  options.args = {"/bin/sh", "-c", script};
  options.timeout = absl::Seconds(20);
  const absl::StatusOr<ExecOutput> output = client().ExecSync(options);
  EXPECT_TRUE(output.ok()) << output.status();
  if (!output.ok()) return "";
  EXPECT_EQ(output->exit_code, 0) << output->standard_error;
  return output->standard_output;
}

std::string TestContainer::group() const {
  return absl::StrCat("/", TestTag(), "/pods/", id_.str());
}

std::string TestContainer::log_path() const {
  return absl::StrCat(host_->dir(), "/logs/", id_.str());
}

std::vector<std::string> TestContainer::Log() const { return ReadLog(log_path()); }

std::vector<std::string> TestContainer::ReadLog(const std::string& path) {
  const absl::StatusOr<std::string> text = os::ReadFile(path, 256 << 20);
  EXPECT_TRUE(text.ok()) << text.status();
  if (!text.ok() || text->empty()) return {};
  EXPECT_EQ(text->back(), '\n') << "torn record at the end";
  std::vector<std::string> records = absl::StrSplit(*text, '\n');
  records.pop_back();
  for (std::string& record : records) {
    EXPECT_GE(record.size(), 40U) << record;
    EXPECT_TRUE(record.size() > 30 && record.substr(29, 2) == "Z ") << record;
    record.erase(0, 31);
  }
  return records;
}

void TestContainer::AwaitLine(const std::string& text) const {
  EXPECT_TRUE(testing::Eventually(
      [&] {
        const absl::StatusOr<std::string> log = os::ReadFile(log_path(), 256 << 20);
        return log.ok() && absl::StrContains(*log, absl::StrCat(" F ", text, "\n"));
      },
      absl::Seconds(20)))
      << "no line " << text;
}

std::vector<pid_t> TestContainer::Pids() const { return host_->cgroups().Pids(group()).value(); }

std::vector<std::string> Shell(const std::string& script) { return {"/bin/sh", "-c", script}; }

TestHost* ShimTest::host_ = nullptr;

void ShimTest::SetUpTestSuite() {
  testing::BecomeSubreaper();
  host_ = new TestHost();
}

void ShimTest::TearDownTestSuite() {
  delete host_;
  host_ = nullptr;
}

void ShimTest::SetUp() {
  testing::LeakScope scope;
  scope.tag = TestTag();
  scope.directories = {host_->dir()};
  scope.process = getpid();
  leaks_ = std::make_unique<testing::LeakCheck>(scope);
}

}  // namespace berth::shim

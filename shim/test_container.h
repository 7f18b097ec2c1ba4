// A host for shim tests: one Launcher over a temporary data and run directory with a busybox layer,
// and containers made in it. For tests only; needs root.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "shim/client.h"
#include "shim/launcher.h"
#include "shim/watcher.h"
#include "tests/fixtures/leak.h"

namespace berth::shim {

// "/berth-test-<pid>": in the name of every cgroup and path, so that tests can run side by side.
std::string TestTag();

class TestHost {
 public:
  // `cgroup_root`: where hierarchies are mounted, all of them or some.
  explicit TestHost(const std::string& cgroup_root = "/sys/fs/cgroup");
  ~TestHost();

  Launcher& launcher() { return *launcher_; }
  const os::CgroupHost& cgroups() const { return *cgroups_; }
  Watcher& watcher() { return *watcher_; }
  const std::string& dir() const { return dir_; }

  // Waits for the watcher's word on a container.
  WatchEvent AwaitEvent(const ContainerId& id);

 private:
  void MakeLayer();

  std::string dir_;
  std::unique_ptr<os::CgroupHost> cgroups_;
  std::unique_ptr<Launcher> launcher_;
  Mutex mu_;
  CondVar told_;
  std::map<ContainerId, WatchEvent> events_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<Watcher> watcher_;
};

// One container; the destructor removes it with everything it has on disk.
class TestContainer {
 public:
  TestContainer(TestHost* host, std::vector<std::string> args);
  ~TestContainer();

  // To be changed before Create.
  Launch& launch() { return launch_; }
  oci::Spec& spec() { return launch_.spec; }

  absl::Status Create();
  absl::Status Start() { return client().Start(Soon()); }
  // Create, watch, start: each must succeed.
  void Run();
  // Waits for the watcher's word and reads the record.
  ExitRecord AwaitExit();
  absl::Status Remove();

  // Standard output of a command that must succeed.
  std::string Exec(const std::string& script);

  Client client() const { return Client(host_->launcher().RunDir(id_)); }
  const ContainerId& id() const { return id_; }
  const Launched& launched() const { return launched_; }
  std::string group() const;
  std::string log_path() const;
  // Records without timestamps: "stdout F text".
  std::vector<std::string> Log() const;
  static std::vector<std::string> ReadLog(const std::string& path);
  // Waits until the log has a record with this text.
  void AwaitLine(const std::string& text) const;
  std::vector<pid_t> Pids() const;

  static Deadline Soon() { return Deadline::After(absl::Seconds(20)); }

 private:
  TestHost* const host_;
  const ContainerId id_;
  Launch launch_;
  Launched launched_;
};

// Its command line.
std::vector<std::string> Shell(const std::string& script);

// One TestHost for all tests of a suite; the leak fixture around each.
class ShimTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite();
  static void TearDownTestSuite();
  void SetUp() override;
  void TearDown() override { leaks_->Expect(); }

  static Deadline Soon() { return TestContainer::Soon(); }

  static TestHost* host_;

 private:
  std::unique_ptr<testing::LeakCheck> leaks_;
};

}  // namespace berth::shim

// The init of a pod on the real kernel: what it is, what it reaps, who can end it.
#include <errno.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/failpoint.h"
#include "base/os/file.h"
#include "base/os/process.h"
#include "base/os/user_namespace.h"
#include "shim/test_container.h"

namespace berth::shim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class PodInitTest : public ShimTest {
 protected:
  void SetUp() override {
    ShimTest::SetUp();
    group_ = absl::StrCat("/", TestTag(), "/init-", NewHexId());
  }
  void TearDown() override {
    EXPECT_TRUE(host_->launcher().RemovePodInit(group_, Soon()).ok());
    ShimTest::TearDown();
  }
  PodInit StartInit() {
    PodInitLaunch launch;
    launch.cgroups_path = group_;
    absl::StatusOr<PodInit> init = host_->launcher().StartPodInit(std::move(launch), Soon());
    EXPECT_TRUE(init.ok()) << init.status();
    return init.value_or(PodInit{});
  }
  static std::string Proc(pid_t pid, const std::string& file) {
    return os::ReadFile(absl::StrCat("/proc/", pid, "/", file), 64 << 10).value_or("");
  }
  static std::vector<std::string> EntriesOf(const std::string& dir) {
    const auto fd = os::Open(dir, O_RDONLY | O_DIRECTORY);
    return fd.ok() ? os::ListDir(fd->get(), ".").value_or(std::vector<std::string>{"?"})
                   : std::vector<std::string>{"?"};
  }
  // Starts `body` in the init's PID namespace, as a child of this process.
  template <typename Body>
  static pid_t InNamespace(const PodInit& init, Body body) {
    const auto ns = os::Open(absl::StrCat("/proc/", init.pid, "/ns/pid"), O_RDONLY);
    const auto own = os::Open("/proc/self/ns/pid", O_RDONLY);
    EXPECT_TRUE(ns.ok() && own.ok());
    EXPECT_EQ(setns(ns->get(), CLONE_NEWPID), 0);
    const pid_t pid = fork();
    if (pid == 0) {
      body();
      _exit(0);
    }
    EXPECT_EQ(setns(own->get(), CLONE_NEWPID), 0);
    return pid;
  }
  static int Wait(pid_t pid) {
    int status = -1;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    return status;
  }

  std::string group_;
};

TEST_F(PodInitTest, ItIsAProcessWithNothing) {
  const PodInit init = StartInit();
  const std::string status = Proc(init.pid, "status");
  EXPECT_THAT(status, HasSubstr("Name:\tberth-init\n"));
  EXPECT_THAT(status, HasSubstr("NoNewPrivs:\t1\n"));
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
    EXPECT_THAT(status, HasSubstr(absl::StrCat(set, ":\t0000000000000000\n")));
  }
  EXPECT_THAT(status, ::testing::ContainsRegex(absl::StrCat("NSpid:\t", init.pid, "\t1\n")));
  EXPECT_THAT(EntriesOf(absl::StrCat("/proc/", init.pid, "/fd")), IsEmpty());
  EXPECT_THAT(EntriesOf(absl::StrCat("/proc/", init.pid, "/root")), IsEmpty());
  EXPECT_EQ(Proc(init.pid, "mounts").find('\n'), Proc(init.pid, "mounts").size() - 1)
      << Proc(init.pid, "mounts");
  EXPECT_EQ(os::StartTime(init.pid).value_or(0), init.start_time);
  EXPECT_THAT(*host_->cgroups().Pids(group_), ElementsAre(init.pid));
}

TEST_F(PodInitTest, InAPodWithAUserNamespaceItIsTheRootOfThatAndItsPidNamespaceBelongsToIt) {
  os::UserMappings mappings;
  mappings.uids = {{0, 200000, 65536}};
  mappings.gids = {{0, 300000, 65536}};
  auto made = os::MakeUserNamespace(mappings, CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET);
  ASSERT_TRUE(made.ok()) << made.status();
  struct stat user;
  struct stat net;
  ASSERT_TRUE(fstat(made->user.get(), &user) == 0 && fstat(made->net.get(), &net) == 0);
  PodInitLaunch launch;
  launch.cgroups_path = group_;
  launch.namespaces.emplace_back(oci::NamespaceType::kUser, std::move(made->user));
  launch.namespaces.emplace_back(oci::NamespaceType::kNetwork, std::move(made->net));
  launch.namespaces.emplace_back(oci::NamespaceType::kUts, std::move(made->uts));
  launch.namespaces.emplace_back(oci::NamespaceType::kIpc, std::move(made->ipc));
  const absl::StatusOr<PodInit> init = host_->launcher().StartPodInit(std::move(launch), Soon());
  ASSERT_TRUE(init.ok()) << init.status();
  EXPECT_THAT(Proc(init->pid, "status"), HasSubstr("Uid:\t200000\t200000\t200000\t200000\n"));
  EXPECT_THAT(Proc(init->pid, "status"), HasSubstr("Gid:\t300000\t300000\t300000\t300000\n"));
  EXPECT_THAT(Proc(init->pid, "status"), HasSubstr("CapEff:\t0000000000000000\n"));
  const auto pid_ns = os::OpenPidNamespace(init->pid, init->start_time);
  ASSERT_TRUE(pid_ns.ok()) << pid_ns.status();
  const os::UniqueFd owner(ioctl(pid_ns->get(), NS_GET_USERNS));
  struct stat of_owner;
  ASSERT_EQ(fstat(owner.get(), &of_owner), 0);
  EXPECT_EQ(of_owner.st_ino, user.st_ino);
  struct stat of_init;
  ASSERT_EQ(stat(absl::StrCat("/proc/", init->pid, "/ns/net").c_str(), &of_init), 0);
  EXPECT_EQ(of_init.st_ino, net.st_ino);
}

// As the budget has it: fifty, which share the pages of their program.
TEST_F(PodInitTest, ItCostsLittle) {
  constexpr int kCount = 50;
  const std::string first = group_;
  PodInit init;
  for (int i = 0; i < kCount; ++i) {
    group_ = absl::StrCat(first, i);
    init = StartInit();
  }
  const std::string rollup = Proc(init.pid, "smaps_rollup");
  for (int i = 0; i < kCount; ++i) {
    EXPECT_TRUE(host_->launcher().RemovePodInit(absl::StrCat(first, i), Soon()).ok());
  }
  const size_t at = rollup.find("\nPss:");
  ASSERT_NE(at, std::string::npos) << rollup;
  const std::vector<std::string> words =
      absl::StrSplit(rollup.substr(at + 5, 40), ' ', absl::SkipWhitespace());
  int kib = 0;
  ASSERT_TRUE(absl::SimpleAtoi(words[0], &kib)) << rollup;
  printf("pod init: %d KiB PSS\n", kib);
#if BERTH_STATIC_SHIM
  EXPECT_LE(kib, 128);
#endif
}

TEST_F(PodInitTest, ItReapsWhatIsOrphaned) {
  const PodInit init = StartInit();
  // A grandchild that outlives its parent for a moment, many times.
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(Wait(InNamespace(init,
                               [] {
                                 for (int n = 0; n < 10; ++n) {
                                   if (fork() == 0) {
                                     usleep(1000);
                                     _exit(0);
                                   }
                                 }
                               })),
              0);
  }
  // No process whose parent is the init is left, not even dead.
  const std::string children = absl::StrCat("task/", init.pid, "/children");
  EXPECT_TRUE(
      testing::Eventually([&] { return Proc(init.pid, children).empty(); }, absl::Seconds(10)))
      << Proc(init.pid, children);
}

TEST_F(PodInitTest, OnlyTheHostCanEndIt) {
  const PodInit init = StartInit();
  const auto pidfd = os::OpenProcess(init.pid, init.start_time);
  ASSERT_TRUE(pidfd.ok());
  EXPECT_EQ(
      Wait(InNamespace(init,
                       [] {
                         for (const int number : {SIGTERM, SIGINT, SIGKILL, SIGSTOP, SIGHUP}) {
                           if (kill(1, number) != 0) _exit(1);
                         }
                         // A forged sender: the kernel's mark of a real one is missing.
                         siginfo_t info{};
                         info.si_signo = SIGTERM;
                         info.si_code = SI_QUEUE;
                         (void)syscall(SYS_rt_sigqueueinfo, 1, SIGTERM, &info);
                       })),
      0);
  // It goes on to work.
  EXPECT_EQ(Wait(InNamespace(init, [] {})), 0);
  pollfd p{pidfd->get(), POLLIN, 0};
  EXPECT_EQ(poll(&p, 1, 50), 0);
  EXPECT_EQ(syscall(SYS_pidfd_send_signal, pidfd->get(), SIGTERM, nullptr, 0), 0);
  EXPECT_EQ(poll(&p, 1, 10000), 1);
}

TEST_F(PodInitTest, ItsEndIsTheEndOfAllThatIsInItsNamespace) {
  const PodInit init = StartInit();
  const pid_t child = InNamespace(init, [] { pause(); });
  std::thread reaper([&] { EXPECT_TRUE(WIFSIGNALED(Wait(child))); });
  EXPECT_TRUE(host_->launcher().RemovePodInit(group_, Soon()).ok());
  reaper.join();
  EXPECT_FALSE(os::Open(host_->cgroups().v2_root() + group_, O_PATH).ok());
}

class SharedPidTest : public PodInitTest {
 protected:
  // In order: a shim that is killed before it reaped leaves that to whoever is its parent.
  void End(TestContainer* container) {
    EXPECT_TRUE(container->client().KillAll(Soon()).ok());
    (void)container->AwaitExit();
  }
  // A container that joins the PID namespace of `init`.
  std::unique_ptr<TestContainer> Container(const PodInit& init, std::vector<std::string> args) {
    auto container = std::make_unique<TestContainer>(host_, std::move(args));
    auto ns = os::OpenPidNamespace(init.pid, init.start_time);
    EXPECT_TRUE(ns.ok()) << ns.status();
    if (ns.ok()) {
      container->launch().namespaces.emplace_back(oci::NamespaceType::kPid, *std::move(ns));
    }
    return container;
  }
};

TEST_F(SharedPidTest, ContainersSeeEachOtherAndTheInit) {
  const PodInit init = StartInit();
  auto a = Container(init, {"/bin/sleep", "1000"});
  auto b = Container(init, {"/bin/sleep", "2000"});
  a->Run();
  b->Run();
  EXPECT_EQ(a->Exec("cat /proc/1/comm"), "berth-init\n");
  EXPECT_EQ(a->Exec("for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; echo; done | "
                    "grep -c '/bin/sleep [12]000'"),
            "2\n");
  EXPECT_EQ(a->Exec("ls /proc/1/root/ 2>&1 | grep -c 'Permission denied'; ls /proc/1/fd/ | wc -l"),
            "1\n0\n");
  End(a.get());
  End(b.get());
}

TEST_F(SharedPidTest, TheEndOfTheFirstProcessIsTheEndOfItsContainerAndOfNothingElse) {
  const PodInit init = StartInit();
  auto stays = Container(init, {"/bin/sleep", "1000"});
  stays->Run();
  // Its child outlives it, as an orphan of the pod's init, in the container's cgroup.
  auto ends = Container(init, Shell("setsid sleep 1000 & exit 7"));
  ends->Run();
  EXPECT_EQ(ends->AwaitExit().exit_code, 7);
  EXPECT_THAT(ends->Pids(), IsEmpty());
  EXPECT_EQ(stays->client().State(Soon())->phase, ShimPhase::kRunning);
  const std::string children = absl::StrCat("task/", init.pid, "/children");
  EXPECT_TRUE(
      testing::Eventually([&] { return Proc(init.pid, children).empty(); }, absl::Seconds(10)));
  End(stays.get());
}

TEST_F(SharedPidTest, ExecsAreKilledWithAllTheyStarted) {
  const PodInit init = StartInit();
  auto c = Container(init, {"/bin/sleep", "1000"});
  c->Run();
  ExecOptions options;
  options.args = Shell("(setsid sleep 1000 &) ; sleep 1000 & sleep 1000");
  options.timeout = absl::Milliseconds(300);
  EXPECT_EQ(c->client().ExecSync(options).status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(c->Pids(), ElementsAre(c->launched().init_pid));
  End(c.get());
}

TEST_F(SharedPidTest, TheEndOfTheInitIsTheEndOfTheContainers) {
  const PodInit init = StartInit();
  auto c = Container(init, {"/bin/sleep", "1000"});
  c->Run();
  EXPECT_EQ(kill(init.pid, SIGKILL), 0);
  EXPECT_EQ(c->AwaitExit().exit_code, 137);
  auto late = std::make_unique<TestContainer>(host_, std::vector<std::string>{"/bin/true"});
  EXPECT_EQ(os::OpenPidNamespace(init.pid, init.start_time).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(PodInitTest, EveryFailureLeavesNothing) {
  for (const char* name : {"pod_init_after_cgroup", "pod_init_after_start"}) {
    ASSERT_TRUE(failpoint::Configure(absl::StrCat(name, "=1*error")).ok());
    PodInitLaunch launch;
    launch.cgroups_path = group_;
    EXPECT_FALSE(host_->launcher().StartPodInit(std::move(launch), Soon()).ok()) << name;
    EXPECT_FALSE(os::Open(host_->cgroups().v2_root() + group_, O_PATH).ok()) << name;
  }
  ASSERT_TRUE(failpoint::Configure("").ok());
  PodInitLaunch launch;
  launch.cgroups_path = group_;
  auto wrong = os::Open("/proc/self/ns/ipc", O_RDONLY);
  launch.namespaces.emplace_back(oci::NamespaceType::kNetwork, *std::move(wrong));
  const absl::Status status = host_->launcher().StartPodInit(std::move(launch), Soon()).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("join namespaces: Invalid argument"));
}

}  // namespace
}  // namespace berth::shim

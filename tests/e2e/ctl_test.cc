// berthctl and the real crictl, as an operator uses them.
#include <fcntl.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/os/file.h"
#include "tests/e2e/e2e.h"

namespace berth::testing {
namespace {

class Ctl : public E2e {
 protected:
  Output Crictl(std::vector<std::string> args) {
    std::vector<std::string> argv = {"crictl",
                                     "--runtime-endpoint",
                                     daemon().endpoint(),
                                     "--image-endpoint",
                                     daemon().endpoint(),
                                     "--timeout",
                                     "30s"};
    argv.insert(argv.end(), args.begin(), args.end());
    return RunProgram(argv);
  }
  static bool HasCrictl() {
    for (const char* path : {"/usr/local/bin/crictl", "/usr/bin/crictl"}) {
      if (access(path, X_OK) == 0) return true;
    }
    return false;
  }
  std::string WriteFile(const std::string& name, const std::string& text) {
    std::string path = absl::StrCat(daemon().dir(), "/", name);
    unlink(path.c_str());
    absl::StatusOr<os::UniqueFd> fd = os::Open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    EXPECT_TRUE(fd.ok() && os::WriteAll(fd->get(), text).ok());
    return path;
  }
};

TEST_F(Ctl, RunExecLogsPsRm) {
  Output run = daemon().Ctl({"run", "-d", "--name", "hello", "busybox:test", "/bin/sh", "-c",
                             "echo hi; exec sleep 1000"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const Output ps = daemon().Ctl({"ps"});
  EXPECT_THAT(ps.out, HasSubstr("hello"));
  EXPECT_THAT(ps.out, HasSubstr("busybox:test"));
  EXPECT_TRUE(Eventually(
      [&] {
        return daemon().Ctl({"logs", "hello"}).out == "hi\n";
      },
      absl::Seconds(10)));
  const Output exec = daemon().Ctl({"exec", "hello", "/bin/sh", "-c", "echo in; exit 6"});
  EXPECT_EQ(exec.out, "in\n");
  EXPECT_EQ(exec.exit_code, 6);
  const Output rm = daemon().Ctl({"rm", "--force", "hello"});
  EXPECT_EQ(rm.exit_code, 0) << rm.err;
  EXPECT_THAT(daemon().Ctl({"ps"}).out, ::testing::Not(HasSubstr("hello")));
}

TEST_F(Ctl, RunInTheForegroundShowsTheLogAndGivesTheExitCode) {
  const Output run = daemon().Ctl(
      {"run", "--rm", "busybox:test", "/bin/sh", "-c", "echo out; echo err >&2; exit 7"});
  EXPECT_EQ(run.exit_code, 7) << run.err;
  EXPECT_THAT(run.out, HasSubstr("out"));
}

TEST_F(Ctl, ErrorsNameTheObject) {
  const Output run = daemon().Ctl({"run", "no/such:image", "true"});
  EXPECT_NE(run.exit_code, 0);
  EXPECT_THAT(run.err, HasSubstr("no/such:image"));
  const Output exec = daemon().Ctl({"exec", "nobody", "true"});
  EXPECT_NE(exec.exit_code, 0);
  EXPECT_THAT(exec.err, HasSubstr("nobody"));
  EXPECT_NE(daemon().Ctl({"frobnicate"}).exit_code, 0);
}

TEST_F(Ctl, StateAndCheckDescribeDaemonAndHost) {
  const Output state = daemon().Ctl({"state"});
  EXPECT_EQ(state.exit_code, 0) << state.err;
  EXPECT_THAT(state.out, HasSubstr(BERTH_VERSION));
  EXPECT_THAT(state.out, HasSubstr(daemon().data_dir()));
  const Output check = daemon().Ctl({"check"});
  EXPECT_THAT(check.out, HasSubstr("overlay"));
  EXPECT_THAT(check.out, HasSubstr("cgroup"));
}

TEST_F(Ctl, CrictlRunsAPod) {
  if (!HasCrictl()) GTEST_SKIP() << "no crictl in PATH";
  EXPECT_THAT(Crictl({"version"}).out, HasSubstr("berth"));
  EXPECT_THAT(Crictl({"info"}).out, HasSubstr("RuntimeReady"));
  EXPECT_THAT(Crictl({"images"}).out, HasSubstr("busybox"));
  const std::string pod_file = WriteFile(
      "pod.json",
      absl::StrCat(R"({"metadata":{"name":"crictl","uid":"u1","namespace":"default"},)",
                   R"("log_directory":")", daemon().log_dir(), R"(/crictl",)",
                   R"("linux":{"security_context":{"namespace_options":{"network":2,"pid":1}}}})"));
  const std::string container_file =
      WriteFile("container.json",
                R"({"metadata":{"name":"c"},"image":{"image":"busybox:test"},"log_path":"c.log",)"
                R"("command":["/bin/sh","-c","echo from crictl; exec sleep 1000"],)"
                R"("linux":{"security_context":{"namespace_options":{"network":2,"pid":1}}}})");
  const Output pod = Crictl({"runp", pod_file});
  ASSERT_EQ(pod.exit_code, 0) << pod.err;
  const std::string pod_id(absl::StripTrailingAsciiWhitespace(pod.out));
  const Output created = Crictl({"create", "--no-pull", pod_id, container_file, pod_file});
  ASSERT_EQ(created.exit_code, 0) << created.err;
  const std::string id(absl::StripTrailingAsciiWhitespace(created.out));
  const Output started = Crictl({"start", id});
  ASSERT_EQ(started.exit_code, 0) << started.err;
  EXPECT_THAT(Crictl({"ps"}).out, HasSubstr("Running"));
  EXPECT_TRUE(Eventually(
      [&] {
        return Crictl({"logs", id}).out == "from crictl\n";
      },
      absl::Seconds(10)));
  const Output exec = Crictl({"exec", "--sync", id, "echo", "synced"});
  EXPECT_THAT(exec.out, ::testing::StartsWith("synced\n")) << exec.err;
  EXPECT_THAT(Crictl({"inspect", id}).out, HasSubstr("CONTAINER_RUNNING"));
  EXPECT_EQ(Crictl({"stop", "--timeout", "1", id}).exit_code, 0);
  EXPECT_EQ(Crictl({"rm", id}).exit_code, 0);
  EXPECT_EQ(Crictl({"stopp", pod_id}).exit_code, 0);
  EXPECT_EQ(Crictl({"rmp", pod_id}).exit_code, 0);
}

}  // namespace
}  // namespace berth::testing

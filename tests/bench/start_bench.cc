// berth_start_bench SHIM WORK N: from clone3 (with the overlay before it) to the container's
// execve, by the create stage's own code and by the floor program, in turn, with a pause before
// each sample; and what starting the shim's program alone costs. No daemon, no cgroups. WORK: an
// empty directory.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "base/os/mount.h"
#include "base/os/namespaces.h"
#include "base/os/spawn.h"
#include "base/status_macros.h"
#include "shim/create_plan.h"
#include "shim/create_process.h"
#include "shim/overlay.h"
#include "shim/sealed_program.h"
#include "shim/seccomp/profile.h"
#include "tests/bench/floor.h"
#include "tests/bench/guarded_paths.h"
#include "tests/bench/samples.h"

namespace berth::bench {
namespace {

constexpr char kShim[] = "clone3 -> execve, shim";
constexpr char kFloor[] = "clone3 -> execve, floor";

shim::oci::Mount Kernel(const std::string& destination, const std::string& type,
                        std::vector<std::string> options) {
  return {destination, type, type, std::move(options), {}};
}

// What a CRI container without wishes gets (sandbox/spec*.cc), but for the mount of cgroups.
shim::LaunchDocument Document(const std::string& filter) {
  shim::LaunchDocument document;
  document.container_id = std::string(64, 'b');
  document.root = {{"layers/busybox"}, "upper", "work", true};
  document.seccomp.program = filter;
  shim::oci::Spec& spec = document.spec;
  spec.process.args = {"/bin/busybox", "sleep", "100000"};
  spec.process.no_new_privileges = true;
  spec.hostname = "bench";
  std::vector<std::string> caps;
  for (const char* name :
       {"CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID",
        "SETFCAP", "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"}) {
    caps.push_back(absl::StrCat("CAP_", name));
  }
  spec.process.capabilities.bounding = caps;
  spec.process.capabilities.permitted = caps;
  spec.process.capabilities.effective = caps;
  spec.mounts = {
      Kernel("/proc", "proc", {"nosuid", "noexec", "nodev"}),
      Kernel("/dev", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
      Kernel("/dev/pts", "devpts",
             {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
      Kernel("/dev/mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
      Kernel("/dev/shm", "tmpfs", {"nosuid", "noexec", "nodev", "mode=1777", "size=64m"}),
      Kernel("/sys", "sysfs", {"nosuid", "noexec", "nodev", "ro"})};
  for (const char* file : {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"}) {
    spec.mounts.push_back({file, "bind", "", {"rbind", "rprivate", "rw"}, {}});
  }
  for (const auto type : {shim::oci::NamespaceType::kPid, shim::oci::NamespaceType::kMount,
                          shim::oci::NamespaceType::kIpc, shim::oci::NamespaceType::kUts,
                          shim::oci::NamespaceType::kCgroup}) {
    spec.linux_.namespaces.push_back({type, ""});
  }
  for (const char* path : kMasked) spec.linux_.masked_paths.emplace_back(path);
  for (const char* path : kReadonly) spec.linux_.readonly_paths.emplace_back(path);
  return document;
}

// The part of shim/create.cc between the overlay and the gate, which is open. The value:
// nanoseconds.
absl::StatusOr<int64_t> StartOne(shim::LaunchDocument document) {
  for (size_t i = document.spec.mounts.size() - 3; i < document.spec.mounts.size(); ++i) {
    ASSIGN_OR_RETURN(os::DetachedMount tree, os::CloneTree(AT_FDCWD, "/data/file", false));
    document.mount_trees.emplace_back(static_cast<int>(i), tree.release());
  }
  ASSIGN_OR_RETURN(const shim::Powers powers, shim::OwnPowers());
  ASSIGN_OR_RETURN(const shim::NamespacePlan namespaces, shim::PlanNamespaces(document));
  ASSIGN_OR_RETURN(const std::string process_plan,
                   shim::BuildProcessPlan(document, namespaces, powers));
  const int64_t start = MonotonicNanos();
  ASSIGN_OR_RETURN(const os::DetachedMount root, shim::MakeOverlay("/data", document.root));
  ASSIGN_OR_RETURN(const std::string setup_plan,
                   shim::BuildSetupPlan(document, namespaces, {root.get(), "/root"}));
  ASSIGN_OR_RETURN(const shim::FirstProcess process,
                   shim::FirstProcess::Start(process_plan, setup_plan, namespaces, -1, {}));
  if (write(process.pipes().gate_write.get(), "g", 1) != 1) return absl::InternalError("gate");
  RETURN_IF_ERROR(process.AwaitGate(shim::ListenerAgent()));
  char byte;
  if (read(process.pipes().report_read.get(), &byte, 1) != 0) return absl::InternalError("exec");
  return MonotonicNanos() - start;
}

class Shim {
 public:
  Shim(std::string dir, os::UniqueFd holder, shim::LaunchDocument document)
      : dir_(std::move(dir)), holder_(std::move(holder)), document_(std::move(document)) {}

  bool Sample(Samples* samples) {
    for (const char* name : {"/upper", "/work"}) {
      if (mkdir((dir_ + name).c_str(), 0755) != 0) return false;
    }
    int report[2];
    if (pipe2(report, O_CLOEXEC) != 0) return false;
    const pid_t pid = fork();
    if (pid == 0) _exit(Stage(report[1]));
    close(report[1]);
    int64_t nanos = 0;
    const bool ok = read(report[0], &nanos, sizeof nanos) == ssize_t{sizeof nanos};
    close(report[0]);
    (*samples)[kShim].push_back(static_cast<double>(nanos) / 1000);
    int status = 0;
    if (waitpid(pid, &status, 0) != pid || status != 0) return false;
    const absl::StatusOr<os::UniqueFd> dir = os::Open(dir_, O_RDONLY | O_DIRECTORY);
    return ok && dir.ok() && os::RemoveTree(dir->get(), "upper").ok() &&
           os::RemoveTree(dir->get(), "work").ok();
  }

 private:
  int Stage(int report_fd) const {
    if (setns(holder_.get(), CLONE_NEWNS) != 0) return 1;
    const absl::StatusOr<int64_t> nanos = StartOne(document_);
    if (!nanos.ok()) {
      (void)fprintf(stderr, "start_bench: %s\n", nanos.status().ToString().c_str());
      return 1;
    }
    return write(report_fd, &*nanos, sizeof *nanos) == ssize_t{sizeof *nanos} ? 0 : 1;
  }

  const std::string dir_;
  const os::UniqueFd holder_;
  const shim::LaunchDocument document_;
};

// The program says that it is not started by hand and ends.
bool SpawnShim(int program_fd) {
  os::SpawnOptions options;
  options.program_fd = program_fd;
  options.argv = {"berth-shim"};
  const absl::StatusOr<os::Child> child = os::Spawn(options);
  return child.ok() && os::WaitChild(*child, Deadline::After(absl::Seconds(10))).ok();
}

absl::Status PrepareDirectory(const std::string& dir) {
  for (const char* sub :
       {"/data/layers/busybox/bin", "/data/layers/busybox/proc", "/data/layers/busybox/sys",
        "/data/layers/busybox/dev", "/data/layers/busybox/etc", "/floor", "/run"}) {
    RETURN_IF_ERROR(os::MakeDirs(dir + sub, 0755));
  }
  ASSIGN_OR_RETURN(const std::string busybox, os::ReadFile("/bin/busybox", 16 << 20));
  for (const auto& [path, text, mode] :
       {std::tuple{"/data/layers/busybox/bin/busybox", busybox, 0755},
        std::tuple{"/data/file", std::string("bench\n"), 0644}}) {
    ASSIGN_OR_RETURN(const os::UniqueFd file,
                     os::Open(dir + path, O_WRONLY | O_CREAT | O_TRUNC, mode));
    RETURN_IF_ERROR(os::WriteAll(file.get(), text));
  }
  return absl::OkStatus();
}

absl::Status Run(const std::string& shim_path, const std::string& dir, int rounds) {
  RETURN_IF_ERROR(PrepareDirectory(dir));
  ASSIGN_OR_RETURN(const std::string filter,
                   shim::seccomp::Compile(shim::seccomp::DefaultProfile(0)));
  ASSIGN_OR_RETURN(os::UniqueFd holder, os::MakeHolderNamespace(dir + "/data", dir + "/run"));
  ASSIGN_OR_RETURN(const os::UniqueFd program, shim::OpenSealedProgram(shim_path));
  Shim shim(dir + "/data", std::move(holder), Document(filter));
  Floor floor(dir + "/data/layers/busybox", dir + "/floor", filter);
  Samples samples;
  for (int i = 0; i < rounds + 3; ++i) {
    if (i == 3) samples.clear();  // the first three warm caches
    (void)poll(nullptr, 0, 25);
    const bool ok = Time(&samples, kFloor, [&] { return floor.CreateStart(); }) &&
                    floor.StopRemove() && poll(nullptr, 0, 25) == 0 && shim.Sample(&samples) &&
                    poll(nullptr, 0, 25) == 0 &&
                    Time(&samples, "spawn of the shim", [&] { return SpawnShim(program.get()); });
    if (!ok) return absl::InternalError(absl::StrCat("round ", i, " failed"));
  }
  Print(samples, rounds);
  for (const double q : {0.0, 0.5}) {
    (void)printf("shim / floor, %s: %.2f\n", q == 0 ? "min" : "p50",
                 Quantile(samples[kShim], q) / Quantile(samples[kFloor], q));
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace berth::bench

int main(int argc, char** argv) {
  int rounds = 0;
  if (argc != 4 || !absl::SimpleAtoi(argv[3], &rounds) || rounds < 1) {
    (void)fprintf(stderr, "usage: berth_start_bench SHIM WORK ROUNDS\n");
    return 2;
  }
  const absl::Status status = berth::bench::Run(argv[1], argv[2], rounds);
  if (!status.ok()) (void)fprintf(stderr, "start_bench: %s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}

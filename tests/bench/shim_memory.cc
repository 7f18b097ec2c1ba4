// shim_memory SHIM WORK_DIR COUNT: what COUNT containers cost in memory, beside the budgets of
// issue 4. Each container writes 1 MiB to both of its streams, has 5 execs and one log reopen; ten
// seconds later it prints
//   - PSS of the shims,
//   - the difference of MemAvailable for each container, less the PSS of the container's own
//     processes and, in a second line, of its shim, too (budget for the second: 0.5 MiB with 200),
//   - where the kernel's part of it is: /proc/meminfo before and after,
//   - kernel memory by the memory controller's count, which other programs do not disturb.
// Needs root, and busybox (Debian package busybox-static).
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/clock.h"
#include "base/os/cgroup.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "shim/client.h"
#include "shim/launcher.h"

namespace berth::bench {
namespace {

constexpr const char* kCounted[] = {"Slab",        "SReclaimable", "SUnreclaim", "Percpu",
                                    "KernelStack", "PageTables",   "AnonPages",  "Shmem"};

Deadline Soon() { return Deadline::After(absl::Seconds(60)); }

absl::StatusOr<std::map<std::string, int64_t>> MemInfo() {
  ASSIGN_OR_RETURN(const std::string text, os::ReadFile("/proc/meminfo", 64 << 10));
  std::map<std::string, int64_t> values;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::vector<std::string> words =
        absl::StrSplit(line, absl::ByAnyChar(": "), absl::SkipEmpty());
    int64_t kib = 0;
    if (words.size() >= 2 && absl::SimpleAtoi(words[1], &kib)) values[words[0]] = kib;
  }
  return values;
}

// 0: the process is gone.
int64_t PssKib(pid_t pid) {
  const auto text = os::ReadFile(absl::StrCat("/proc/", pid, "/smaps_rollup"), 64 << 10);
  if (!text.ok()) return 0;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    int64_t kib = 0;
    if (words.size() >= 2 && words[0] == "Pss:" && absl::SimpleAtoi(words[1], &kib)) return kib;
  }
  return 0;
}

class Bench {
 public:
  Bench(std::string shim, std::string dir, int count)
      : shim_(std::move(shim)), dir_(std::move(dir)), count_(count) {}

  absl::Status Run() {
    RETURN_IF_ERROR(Prepare());
    // What is paid once is not a container's.
    RETURN_IF_ERROR(StartOne());
    RETURN_IF_ERROR(RemoveAll());
    ASSIGN_OR_RETURN(const auto before, MemInfo());
    const int64_t charged_before = ChargedKib();
    absl::Status status;
    for (int i = 0; i < count_ && status.ok(); ++i) status = StartOne();
    if (status.ok()) {
      (void)poll(nullptr, 0, 10000);  // the budget is for ten seconds later
      status = Print(before, charged_before);
    }
    const absl::Status removed = RemoveAll();
    return status.ok() ? removed : status;
  }

  // Everything that was made, half-made or not.
  absl::Status Clean() {
    launcher_.reset();
    if (!host_) return absl::OkStatus();
    ASSIGN_OR_RETURN(const os::CgroupJoin root, JoinOf("/"));
    RETURN_IF_ERROR(Enter(root));
    return host_->Remove(group_, Soon());
  }

 private:
  struct Container {
    ContainerId id;
    std::string group;
    pid_t shim_pid;
  };

  absl::StatusOr<os::CgroupJoin> JoinOf(const std::string& path) const {
    os::CgroupJoin join;
    for (const auto& [key, root] : host_->v1_roots()) {
      if (!absl::StrContains(key, "memory")) continue;
      ASSIGN_OR_RETURN(os::UniqueFd fd, os::Open(absl::StrCat(root, path, "/tasks"), O_WRONLY));
      join.tasks.push_back(std::move(fd));
      return join;
    }
    ASSIGN_OR_RETURN(os::UniqueFd fd,
                     os::Open(absl::StrCat(host_->v2_root(), path, "/cgroup.procs"), O_WRONLY));
    join.tasks.push_back(std::move(fd));
    return join;
  }
  // This process, so that what the kernel allocates on its behalf is counted with the rest.
  static absl::Status Enter(const os::CgroupJoin& join) {
    for (const os::UniqueFd& fd : join.tasks) RETURN_IF_ERROR(os::WriteAll(fd.get(), "0"));
    return absl::OkStatus();
  }

  absl::Status Prepare() {
    ASSIGN_OR_RETURN(os::CgroupHost host, os::CgroupHost::Probe());
    host_ = std::make_unique<os::CgroupHost>(std::move(host));
    RETURN_IF_ERROR(host_->Create(group_ + "/bench").status());
    ASSIGN_OR_RETURN(const os::CgroupJoin join, JoinOf(group_ + "/bench"));
    RETURN_IF_ERROR(Enter(join));
    for (const char* sub : {"/run", "/logs", "/data/containers"}) {
      RETURN_IF_ERROR(os::MakeDirs(absl::StrCat(dir_, sub), 0700));
    }
    const std::string layer = dir_ + "/data/layers/busybox";
    for (const char* sub : {"/bin", "/dev", "/proc", "/sys"}) {
      RETURN_IF_ERROR(os::MakeDirs(absl::StrCat(layer, sub), 0755));
    }
    ASSIGN_OR_RETURN(const std::string busybox, os::ReadFile("/bin/busybox", 16 << 20));
    ASSIGN_OR_RETURN(const os::UniqueFd copy,
                     os::Open(layer + "/bin/busybox", O_WRONLY | O_CREAT | O_EXCL, 0755));
    RETURN_IF_ERROR(os::WriteAll(copy.get(), busybox));
    shim::Launcher::Options options;
    options.shim_path = shim_;
    options.data_dir = dir_ + "/data";
    options.run_dir = dir_ + "/run";
    options.cgroup_root = group_;
    ASSIGN_OR_RETURN(launcher_, shim::Launcher::Open(options, *host_));
    return absl::OkStatus();
  }

  absl::StatusOr<shim::Launch> MakeLaunch(const Container& container) {
    shim::Launch launch{container.id};
    const std::string base = absl::StrCat("containers/", container.id.str());
    launch.root = {{"layers/busybox"}, base + "/upper", base + "/work", true};
    for (const std::string& path : {launch.root.upper, launch.root.work}) {
      RETURN_IF_ERROR(os::MakeDirs(absl::StrCat(dir_, "/data/", path), 0755));
    }
    ASSIGN_OR_RETURN(launch.log, OpenLog(container, ""));
    launch.spec.process.args = {
        "/bin/busybox", "sh", "-c",
        absl::StrCat("b=/bin/busybox; l=", std::string(99, 'x'),
                     "; $b yes $l | $b head -c 1048576; $b yes $l | $b head -c 1048576 >&2; exec "
                     "$b sleep 1000000")};
    launch.spec.mounts = {{"/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}},
                          {"/dev", "tmpfs", "tmpfs", {"nosuid", "mode=755", "size=64k"}},
                          {"/dev/shm", "tmpfs", "tmpfs", {"nosuid", "nodev", "size=64m"}},
                          {"/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}}};
    using Type = shim::oci::NamespaceType;
    for (Type type : {Type::kPid, Type::kMount, Type::kIpc, Type::kUts, Type::kCgroup}) {
      launch.spec.linux_.namespaces.push_back({type, ""});
    }
    launch.spec.linux_.cgroups_path = container.group;
    return launch;
  }

  absl::StatusOr<os::UniqueFd> OpenLog(const Container& container, const std::string& suffix) {
    return os::Open(absl::StrCat(dir_, "/logs/", container.id.str(), suffix),
                    O_WRONLY | O_APPEND | O_CREAT | O_EXCL, 0640);
  }

  absl::Status StartOne() {
    Container container{ContainerId::New(), "", -1};
    container.group = absl::StrCat(group_, "/pods/", container.id.str());
    ASSIGN_OR_RETURN(shim::Launch launch, MakeLaunch(container));
    ASSIGN_OR_RETURN(const shim::Launched launched, launcher_->Create(std::move(launch), Soon()));
    container.shim_pid = launched.shim_pid;
    containers_.push_back(container);
    const shim::Client client(launcher_->RunDir(container.id));
    RETURN_IF_ERROR(client.Start(Soon()));
    RETURN_IF_ERROR(AwaitOutput(client));
    for (int i = 0; i < 5; ++i) {
      shim::ExecOptions options;
      options.args = {"/bin/busybox", "true"};
      options.timeout = absl::Seconds(60);
      RETURN_IF_ERROR(client.ExecSync(options).status());
    }
    ASSIGN_OR_RETURN(os::UniqueFd log, OpenLog(container, ".1"));
    return client.ReopenLog(std::move(log), Soon());
  }

  static absl::Status AwaitOutput(const shim::Client& client) {
    const Deadline deadline = Soon();
    for (;;) {
      ASSIGN_OR_RETURN(const shim::ShimState state, client.State(deadline));
      if (state.log_bytes >= 2 << 20) return absl::OkStatus();
      if (deadline.Expired()) return absl::DeadlineExceededError("a container does not write");
      (void)poll(nullptr, 0, 5);
    }
  }

  absl::Status RemoveAll() {
    absl::Status first;
    for (const Container& container : containers_) {
      absl::Status status = launcher_->Remove(container.id, container.group, Soon());
      if (first.ok()) first = status;
    }
    containers_.clear();
    return first;
  }

  // Kernel memory charged to all groups of this program; 0: no memory controller.
  int64_t ChargedKib() const {
    const std::string dir = host_->ControllerDir("memory", group_);
    int64_t bytes = 0;
    const auto v1 = os::ReadFile(dir + "/memory.kmem.usage_in_bytes", 64);
    if (v1.ok() && absl::SimpleAtoi(absl::StripAsciiWhitespace(*v1), &bytes)) return bytes / 1024;
    const auto v2 = os::ReadFile(dir + "/memory.stat", 64 << 10);
    for (absl::string_view line : absl::StrSplit(v2.value_or(""), '\n')) {
      if (absl::ConsumePrefix(&line, "kernel ") && absl::SimpleAtoi(line, &bytes)) break;
    }
    return bytes / 1024;
  }

  absl::Status Print(const std::map<std::string, int64_t>& before, int64_t charged_before) {
    int64_t shims = 0;
    int64_t worst = 0;
    int64_t processes = 0;
    for (const Container& container : containers_) {
      const int64_t kib = PssKib(container.shim_pid);
      shims += kib;
      worst = std::max(worst, kib);
      ASSIGN_OR_RETURN(const std::vector<pid_t> pids, host_->Pids(container.group));
      for (const pid_t pid : pids) processes += PssKib(pid);
    }
    ASSIGN_OR_RETURN(const auto after, MemInfo());
    const double n = count_;
    const auto delta = [&](const char* key) { return after.at(key) - before.at(key); };
    const auto available = static_cast<double>(-delta("MemAvailable"));
    std::printf("%d containers, KiB for each:\n", count_);
    std::printf("  %-44s %8.1f  largest %lld, budget %d\n", "shim, PSS", shims / n,
                static_cast<long long>(worst), count_ == 1 ? 512 : 128);
    std::printf("  %-44s %8.1f\n", "its own processes, PSS", processes / n);
    std::printf("  %-44s %8.1f  budget 512\n", "MemAvailable less its own processes",
                (available - processes) / n);
    std::printf("  %-44s %8.1f\n", "... and less its shim: the kernel's part",
                (available - processes - shims) / n);
    for (const char* key : kCounted) std::printf("    %-42s %8.1f\n", key, delta(key) / n);
    std::printf("  %-44s %8.1f\n", "kernel memory charged to its groups",
                (ChargedKib() - charged_before) / n);
    return absl::OkStatus();
  }

  const std::string shim_;
  const std::string dir_;
  const int count_;
  const std::string group_ = absl::StrCat("/berth-bench-", getpid());
  std::unique_ptr<os::CgroupHost> host_;
  std::unique_ptr<shim::Launcher> launcher_;
  std::vector<Container> containers_;
};

}  // namespace
}  // namespace berth::bench

int main(int argc, char** argv) {
  int count = 0;
  if (argc != 4 || !absl::SimpleAtoi(argv[3], &count) || count < 1) {
    std::fprintf(stderr, "shim_memory SHIM WORK_DIR COUNT\n");
    return 2;
  }
  berth::bench::Bench bench(argv[1], argv[2], count);
  const absl::Status status = bench.Run();
  const absl::Status cleaned = bench.Clean();
  for (const absl::Status& each : {status, cleaned}) {
    if (!each.ok()) std::fprintf(stderr, "shim_memory: %s\n", each.ToString().c_str());
  }
  return status.ok() && cleaned.ok() ? 0 : 1;
}

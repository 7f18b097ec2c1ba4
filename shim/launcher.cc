#include "shim/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/failpoint.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/os/namespaces.h"
#include "base/os/process.h"
#include "base/rollback.h"
#include "base/status_macros.h"
#include "shim/launch_wire.h"
#include "shim/pod_init.h"
#include "shim/protocol.h"
#include "shim/sealed_program.h"
#include "shim/shim_reaper.h"

namespace berth::shim {
namespace {

using os::ErrnoStatus;
using os::UniqueFd;

constexpr absl::Duration kRollbackLimit = absl::Seconds(30);
constexpr absl::Duration kShimPatience = absl::Seconds(2);
constexpr int kBacklog = 512;

// What a new shim is handed: the fds at their numbers, owned until it is started.
struct Handover {
  LaunchDocument document;
  std::vector<UniqueFd> owned;
  std::vector<std::pair<int, int>> fds;
  int next = kFirstExtraFd;

  void Put(UniqueFd fd, int number) {
    fds.emplace_back(fd.get(), number);
    owned.push_back(std::move(fd));
  }
  int PutExtra(UniqueFd fd) {
    Put(std::move(fd), next);
    return next++;
  }
};

struct SocketPair {
  UniqueFd ours;
  UniqueFd theirs;
};

absl::StatusOr<SocketPair> MakeControl() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return ErrnoStatus(errno, "make control socket");
  }
  return SocketPair{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

absl::StatusOr<UniqueFd> ListenBelow(int dir_fd) {
  UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  // The mode of the unbound socket is that of the file to be made.
  if (!fd.valid() || fchmod(fd.get(), 0600) != 0) return ErrnoStatus(errno, "make shim socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = absl::StrCat("/proc/self/fd/", dir_fd, "/", protocol::kSocketName);
  memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return ErrnoStatus(errno, "bind shim socket");
  }
  if (listen(fd.get(), kBacklog) != 0) return ErrnoStatus(errno, "listen on shim socket");
  return fd;
}

bool MayLowerOomScore() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  return syscall(SYS_capget, &header, data) == 0 &&
         (data[CAP_TO_INDEX(CAP_SYS_RESOURCE)].effective & CAP_TO_MASK(CAP_SYS_RESOURCE)) != 0;
}

absl::StatusOr<int> ClampOomScore(int wanted) {
  if (MayLowerOomScore()) return wanted;
  ASSIGN_OR_RETURN(const std::string text, os::ReadFile("/proc/self/oom_score_adj", 64));
  int own = 0;
  if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(text), &own)) {
    return absl::InternalError(absl::StrCat("parse /proc/self/oom_score_adj: ", text));
  }
  return std::max(wanted, own);
}

// How a shim that said nothing has ended. It is not reaped here.
std::string DeathOf(const os::Child& shim) {
  siginfo_t info{};
  if (waitid(P_PIDFD, shim.pidfd.get(), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
      info.si_pid == 0) {
    return "closed its control socket";
  }
  return absl::StrCat(info.si_code == CLD_EXITED ? "exited with " : "was killed by signal ",
                      info.si_status);
}

absl::StatusOr<CreateReply> AwaitReply(int control, const os::Child& shim, Deadline deadline) {
  // Its death closes the other end too: hang-up and packet are both events of this one fd.
  pollfd p{control, POLLIN, 0};
  for (int n; (n = poll(&p, 1, deadline.PollMillis())) <= 0;) {
    if (n < 0 && errno != EINTR) return ErrnoStatus(errno, "poll shim");
    if (deadline.Expired()) return absl::DeadlineExceededError("create: shim does not answer");
  }
  CreateReply reply;
  const ssize_t n = recv(control, &reply, sizeof reply, MSG_DONTWAIT);
  if (n <= 0) return absl::InternalError(absl::StrCat("create: shim ", DeathOf(shim)));
  if (n != sizeof reply || reply.version != CreateReply().version) {
    return absl::InternalError("create: shim answered something else than a reply");
  }
  if (reply.code != 0) {
    const absl::string_view message(reply.message, strnlen(reply.message, sizeof reply.message));
    return absl::Status(static_cast<absl::StatusCode>(reply.code), message);
  }
  return reply;
}

// The parents that CgroupHost::Create made on the way, when nobody else has come to use them.
void RemoveMadeParents(const os::CgroupHost& host, const std::string& path,
                       const std::vector<std::string>& topmost) {
  std::vector<std::string> roots;
  for (const auto& [controllers, root] : host.v1_roots()) roots.push_back(root);
  if (!host.v2_root().empty()) roots.push_back(host.v2_root());
  for (const std::string& root : roots) {
    for (const std::string& top : topmost) {
      std::string dir = root + path;
      if (dir != top && !absl::StartsWith(dir, top + "/")) continue;
      for (; dir.size() >= top.size(); dir.resize(dir.rfind('/'))) {
        if (rmdir(dir.c_str()) != 0 && errno != ENOENT) break;
      }
    }
  }
}

class LauncherImpl : public Launcher {
 public:
  LauncherImpl(Options options, os::CgroupHost host)
      : options_(std::move(options)), host_(std::move(host)) {}

  absl::Status Init();
  absl::StatusOr<Launched> Create(Launch launch, Deadline deadline) override;
  absl::Status Remove(const ContainerId& id, const std::string& cgroups_path,
                      Deadline deadline) override;
  absl::StatusOr<PodInit> StartPodInit(PodInitLaunch launch, Deadline deadline) override;
  absl::Status RemovePodInit(const std::string& cgroups_path, Deadline deadline) override;
  std::string RunDir(const ContainerId& id) const override {
    return absl::StrCat(ContainersDir(), "/", id.str());
  }
  int holder_namespace() const override { return holder_.get(); }

 private:
  std::string ContainersDir() const { return absl::StrCat(options_.run_dir, "/containers"); }
  std::string ShimsGroup() const { return absl::StrCat(options_.cgroup_root, "/shims"); }
  std::string ShimGroup(const ContainerId& id) const {
    return absl::StrCat(ShimsGroup(), "/", id.str());
  }

  absl::StatusOr<UniqueFd> MakeRunDir(const ContainerId& id);
  absl::StatusOr<os::CgroupJoin> MakeShimGroup(const ContainerId& id);
  absl::Status MakeContainerGroup(const oci::Spec& spec, std::vector<std::string>* made);
  absl::Status PutGroups(const std::string& path, Handover* handover);
  absl::Status PutLaunch(Launch launch, UniqueFd run_dir, Handover* handover);
  absl::StatusOr<os::Child> StartShim(const os::CgroupJoin& group, const Handover& handover);
  absl::Status Finish(os::Child* shim, Deadline deadline);
  absl::Status KillBoth(const ContainerId& id, const std::string& cgroups_path, Deadline deadline);

  const Options options_;
  const os::CgroupHost host_;
  int oom_score_adj_ = 0;
  std::string boot_id_;
  UniqueFd program_;
  UniqueFd holder_;
  std::vector<UniqueFd> shims_tasks_;  // of the group that all shims share in v1 hierarchies
  std::unique_ptr<ShimReaper> reaper_;
};

absl::Status LauncherImpl::Init() {
  RETURN_IF_ERROR(os::EnsureDir(ContainersDir(), 0700));
  ASSIGN_OR_RETURN(boot_id_, os::BootId());
  ASSIGN_OR_RETURN(oom_score_adj_, ClampOomScore(options_.oom_score_adj));
  ASSIGN_OR_RETURN(program_, OpenSealedProgram(options_.shim_path));
  ASSIGN_OR_RETURN(holder_, os::MakeHolderNamespace(options_.data_dir, options_.run_dir));
  ASSIGN_OR_RETURN(reaper_, ShimReaper::Start());
  RETURN_IF_ERROR(host_.Create(ShimsGroup()).status());
  ASSIGN_OR_RETURN(os::CgroupJoin shims, host_.OpenJoin(ShimsGroup()));
  shims_tasks_ = std::move(shims.tasks);
  return absl::OkStatus();
}

absl::StatusOr<Launched> LauncherImpl::Create(Launch launch, Deadline deadline) {
  const ContainerId id = launch.id;
  const oci::Spec& spec = launch.spec;
  const std::string group = spec.linux_.cgroups_path;
  std::vector<std::string> made_groups;
  os::Child shim;
  ASSIGN_OR_RETURN(UniqueFd run_dir, MakeRunDir(id));
  Rollback undo("create container", kRollbackLimit);
  undo.Add("remove parent cgroups", [&] {
    RemoveMadeParents(host_, group, made_groups);
    return absl::OkStatus();
  });
  undo.Add("remove shim", [&](Deadline until) {
    const absl::Status removed = Remove(id, group, until);
    const absl::Status finished = Finish(&shim, until);
    return removed.ok() ? finished : removed;
  });
  BERTH_FAILPOINT(launcher_after_run_dir);
  ASSIGN_OR_RETURN(const os::CgroupJoin shim_group, MakeShimGroup(id));
  RETURN_IF_ERROR(MakeContainerGroup(spec, &made_groups));
  BERTH_FAILPOINT(launcher_after_cgroup);

  Handover handover;
  ASSIGN_OR_RETURN(SocketPair control, MakeControl());
  handover.Put(std::move(control.theirs), kControlFd);
  RETURN_IF_ERROR(PutGroups(group, &handover));
  RETURN_IF_ERROR(PutLaunch(std::move(launch), std::move(run_dir), &handover));
  ASSIGN_OR_RETURN(shim, StartShim(shim_group, handover));
  handover.owned.clear();  // or our copy of the control socket would hide the shim's death
  BERTH_FAILPOINT(launcher_after_spawn);

  ASSIGN_OR_RETURN(const CreateReply reply, AwaitReply(control.ours.get(), shim, deadline));
  BERTH_FAILPOINT(launcher_after_reply);
  ASSIGN_OR_RETURN(const uint64_t start_time, os::StartTime(shim.pid));
  const Launched launched{shim.pid, start_time, reply.init_pid, reply.init_start_time};
  std::move(undo).Commit();
  reaper_->Add(std::move(shim));
  return launched;
}

absl::StatusOr<UniqueFd> LauncherImpl::MakeRunDir(const ContainerId& id) {
  const std::string path = RunDir(id);
  // Not EnsureDir: one that exists belongs to a container, and a failed create removes its own.
  if (mkdir(path.c_str(), 0700) != 0) {
    if (errno == EEXIST) {
      return absl::AlreadyExistsError(
          absl::StrCat("create container ", id.str(), ": it has a shim"));
    }
    return ErrnoStatus(errno, absl::StrCat("make ", path));
  }
  return os::Open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

absl::StatusOr<os::CgroupJoin> LauncherImpl::MakeShimGroup(const ContainerId& id) {
  const std::string path = ShimGroup(id);
  if (host_.layout() == os::CgroupLayout::kV1) {
    RETURN_IF_ERROR(host_.Create(path).status());
    return host_.OpenJoin(path);
  }
  // Only in the v2 tree, which can kill it: nine v1 directories a shim would buy nothing.
  const std::string dir = host_.v2_root() + path;
  if (mkdir(dir.c_str(), 0755) != 0) return ErrnoStatus(errno, absl::StrCat("make ", dir));
  os::CgroupJoin join;
  ASSIGN_OR_RETURN(join.into, os::Open(dir, O_RDONLY | O_DIRECTORY));
  return join;
}

absl::Status LauncherImpl::MakeContainerGroup(const oci::Spec& spec,
                                              std::vector<std::string>* made) {
  const std::string& path = spec.linux_.cgroups_path;
  ASSIGN_OR_RETURN_CTX(*made, host_.Create(path), "create container cgroup");
  return host_.Apply(path, spec.linux_.resources);
}

absl::Status LauncherImpl::PutGroups(const std::string& path, Handover* handover) {
  if (!host_.v2_root().empty()) {
    ASSIGN_OR_RETURN(UniqueFd dir, os::Open(host_.v2_root() + path, O_RDONLY | O_DIRECTORY));
    handover->Put(std::move(dir), kCgroupV2Fd);
    handover->document.cgroup_v2 = true;
  }
  for (const auto& [controllers, root] : host_.v1_roots()) {
    ASSIGN_OR_RETURN(UniqueFd dir, os::Open(root + path, O_RDONLY | O_DIRECTORY));
    handover->document.cgroup_v1.emplace_back(controllers, handover->PutExtra(std::move(dir)));
  }
  return absl::OkStatus();
}

absl::Status LauncherImpl::PutLaunch(Launch launch, UniqueFd run_dir, Handover* handover) {
  LaunchDocument& document = handover->document;
  document.container_id = launch.id.str();
  document.spec = std::move(launch.spec);
  document.bundle = std::move(launch.bundle);
  document.root = std::move(launch.root);
  document.boot_id = boot_id_;
  document.oom_score_adj = oom_score_adj_;
  document.keep_stdin_open = launch.keep_stdin_open;
  document.log_limits = launch.log_limits;
  for (auto& [index, tree] : launch.mount_trees) {
    document.mount_trees.emplace_back(index, handover->PutExtra(std::move(tree)));
  }
  for (auto& [type, fd] : launch.namespaces) {
    document.namespaces.emplace_back(type, handover->PutExtra(std::move(fd)));
  }
  if (launch.log.valid()) handover->Put(std::move(launch.log), kLogFd);
  if (!launch.seccomp.program.empty()) {
    ASSIGN_OR_RETURN(UniqueFd fd, os::MemFdWith("berth-seccomp", launch.seccomp.program));
    handover->Put(std::move(fd), kSeccompFd);
    document.seccomp = std::move(launch.seccomp);
  }
  ASSIGN_OR_RETURN(UniqueFd listener, ListenBelow(run_dir.get()));
  handover->Put(std::move(listener), kListenFd);
  handover->Put(std::move(run_dir), kRunDirFd);
  ASSIGN_OR_RETURN(UniqueFd json, os::MemFdWith("berth-launch", ToJson(document)));
  handover->Put(std::move(json), kDocumentFd);
  return absl::OkStatus();
}

absl::StatusOr<os::Child> LauncherImpl::StartShim(const os::CgroupJoin& group,
                                                  const Handover& handover) {
  os::SpawnOptions spawn;
  spawn.program_fd = program_.get();
  spawn.argv = {"berth-shim", "create"};
  spawn.fds = handover.fds;
  spawn.fds.emplace_back(holder_.get(), kHolderNsFd);
  spawn.fds.emplace_back(program_.get(), kProgramFd);
  spawn.cgroup_fd = group.into.get();
  const std::vector<UniqueFd>& tasks = group.tasks.empty() ? shims_tasks_ : group.tasks;
  for (const UniqueFd& fd : tasks) spawn.cgroup_tasks_fds.push_back(fd.get());
  return os::Spawn(spawn);
}

// Reaps a shim that was killed.
absl::Status LauncherImpl::Finish(os::Child* shim, Deadline deadline) {
  if (shim->pid < 0) return absl::OkStatus();
  absl::Status status = os::WaitChild(*shim, deadline).status();
  if (!status.ok()) reaper_->Add(std::move(*shim));
  return status;
}

// A PID namespace does not end before each of its zombies is reaped, and those of execs are the
// shim's to reap. So the container dies first, while the shim lives; a shim that hangs is not
// waited for long: with it gone, its children get another parent.
absl::Status LauncherImpl::KillBoth(const ContainerId& id, const std::string& cgroups_path,
                                    Deadline deadline) {
  absl::Status container;
  if (!cgroups_path.empty()) {
    container = host_.Kill(cgroups_path, Deadline::After(kShimPatience).Min(deadline));
  }
  RETURN_IF_ERROR(host_.Kill(ShimGroup(id), deadline));
  return container.ok() ? container : host_.Kill(cgroups_path, deadline);
}

absl::Status LauncherImpl::Remove(const ContainerId& id, const std::string& cgroups_path,
                                  Deadline deadline) {
  absl::Status first;
  const auto note = [&first](const absl::Status& status, absl::string_view step) {
    if (!status.ok() && first.ok()) {
      first = WithCode(status.code() == absl::StatusCode::kDeadlineExceeded
                           ? absl::StatusCode::kDeadlineExceeded
                           : absl::StatusCode::kInternal,
                       status, step);
    }
  };
  note(KillBoth(id, cgroups_path, deadline), "remove shim");
  BERTH_FAILPOINT(launcher_remove_after_kill);
  for (const std::string& group : {ShimGroup(id), cgroups_path}) {
    if (!group.empty()) note(host_.Remove(group, deadline), "remove shim");
    BERTH_FAILPOINT(launcher_remove_after_cgroup);
  }
  // The directory goes last: as long as anything is left there is a name to find it by.
  if (!first.ok()) return first;
  ASSIGN_OR_RETURN(const UniqueFd dir, os::Open(ContainersDir(), O_RDONLY | O_DIRECTORY));
  note(os::RemoveTree(dir.get(), id.str()), "remove run directory");
  return first;
}

absl::StatusOr<PodInit> LauncherImpl::StartPodInit(PodInitLaunch launch, Deadline deadline) {
  const std::string& group = launch.cgroups_path;
  Rollback undo("start pod init", kRollbackLimit);
  undo.Add("remove pod init", [&](Deadline until) { return RemovePodInit(group, until); });
  RETURN_IF_ERROR_CTX(host_.Create(group).status(), "create cgroup of pod init");
  BERTH_FAILPOINT(pod_init_after_cgroup);
  ASSIGN_OR_RETURN(const os::CgroupJoin join, host_.OpenJoin(group));
  ASSIGN_OR_RETURN(os::Child init, shim::StartPodInit({program_.get(), holder_.get(),
                                                       oom_score_adj_, &join, &launch.namespaces},
                                                      deadline));
  const absl::StatusOr<uint64_t> start_time = os::StartTime(init.pid);
  const PodInit started{init.pid, start_time.value_or(0)};
  reaper_->Add(std::move(init));
  RETURN_IF_ERROR(start_time.status());
  std::move(undo).Commit();
  return started;
}

absl::Status LauncherImpl::RemovePodInit(const std::string& cgroups_path, Deadline deadline) {
  RETURN_IF_ERROR_CTX(host_.Kill(cgroups_path, deadline), "kill pod init");
  BERTH_FAILPOINT(remove_pod_init_after_kill);
  return host_.Remove(cgroups_path, deadline);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Launcher>> Launcher::Open(Options options, os::CgroupHost host) {
  auto launcher = std::make_unique<LauncherImpl>(std::move(options), std::move(host));
  if (absl::Status status = launcher->Init(); !status.ok()) {
    return WithCode(absl::StatusCode::kInternal, status, "open launcher");
  }
  return launcher;
}

}  // namespace berth::shim

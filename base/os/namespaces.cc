#include "base/os/namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::os {
namespace {

constexpr uint64_t kPlain = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
constexpr char kMountInfo[] = "/proc/thread-self/mountinfo";
constexpr size_t kMountInfoLimit = 64 << 20;

struct PrivateCall {
  const std::function<absl::Status()>* body;
  absl::Status result;
};

void* RunPrivateCall(void* argument) {
  auto* call = static_cast<PrivateCall*>(argument);
  call->result = (*call->body)();
  return nullptr;
}

absl::Status Unshare(int flags) {
  if (unshare(flags) != 0) return ErrnoStatus(errno, "unshare namespaces");
  return absl::OkStatus();
}

// setns(2) into a mount namespace refuses a thread that shares its root and directory with others.
absl::Status EnterMountNamespace(int ns_fd) {
  RETURN_IF_ERROR(Unshare(CLONE_FS));
  if (setns(ns_fd, CLONE_NEWNS) != 0) return ErrnoStatus(errno, "enter mount namespace");
  return absl::OkStatus();
}

absl::Status MakeAllPrivate() {
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return ErrnoStatus(errno, "make mounts private");
  }
  return absl::OkStatus();
}

absl::Status MakeDirAt(int dir_fd, const char* name, mode_t mode) {
  if (mkdirat(dir_fd, name, mode) != 0) return ErrnoStatus(errno, absl::StrCat("mkdir ", name));
  return absl::OkStatus();
}

// A small tmpfs to be the root of a namespace, attached at `over`: pivot_root(2) wants a new root
// that is attached. What else is there must be opened before, or be reached through the result.
absl::StatusOr<DetachedMount> AttachNewRoot(const std::string& over) {
  ASSIGN_OR_RETURN(
      DetachedMount root,
      NewMount("tmpfs",
               {{"source", "berth"}, {"mode", "0755"}, {"size", "64k"}, {"nr_inodes", "32"}},
               kPlain));
  RETURN_IF_ERROR(AttachMount(root.get(), AT_FDCWD, over));
  return root;
}

// Makes `root` the root of the thread's mount namespace and drops all that was there before.
absl::Status PivotTo(int root_fd) {
  if (fchdir(root_fd) != 0) return ErrnoStatus(errno, "enter the new root");
  // Old and new root at the same place: the old one ends up on top of the new and is detached.
  if (syscall(SYS_pivot_root, ".", ".") != 0) return ErrnoStatus(errno, "pivot_root");
  if (umount2(".", MNT_DETACH) != 0) return ErrnoStatus(errno, "detach the old root");
  if (chdir("/") != 0) return ErrnoStatus(errno, "enter the new root");
  return absl::OkStatus();
}

// A clone of everything mounted at `path`, cut off from the host: nothing propagates either way.
absl::StatusOr<DetachedMount> ClonePrivate(const std::string& path) {
  ASSIGN_OR_RETURN(DetachedMount tree, CloneTree(AT_FDCWD, path, /*recursive=*/true));
  RETURN_IF_ERROR(SetMountAttributes(tree.get(), 0, 0, MS_PRIVATE, /*recursive=*/true));
  return tree;
}

absl::StatusOr<UniqueFd> BuildHolder(const std::string& data_dir, const std::string& run_dir) {
  // First: the kernel's copy of the table leaves pinned mount namespaces out, a recursive bind
  // mount would not. With them the holder would keep pods' namespaces alive after Unpin, for as
  // long as a shim lives (and attaching a pin older than the holder is ELOOP).
  RETURN_IF_ERROR(Unshare(CLONE_NEWNS));
  RETURN_IF_ERROR(MakeAllPrivate());
  ASSIGN_OR_RETURN(const DetachedMount data, ClonePrivate(data_dir));
  ASSIGN_OR_RETURN(const DetachedMount run, ClonePrivate(run_dir));
  ASSIGN_OR_RETURN(const DetachedMount proc, NewMount("proc", {{"source", "proc"}}, kPlain));
  ASSIGN_OR_RETURN(const DetachedMount root, AttachNewRoot(run_dir));
  for (const char* name : {"proc", "data", "run", "root"}) {
    RETURN_IF_ERROR(MakeDirAt(root.get(), name, 0755));
  }
  RETURN_IF_ERROR(AttachMount(proc.get(), root.get(), "proc"));
  RETURN_IF_ERROR(AttachMount(data.get(), root.get(), "data"));
  RETURN_IF_ERROR(AttachMount(run.get(), root.get(), "run"));
  RETURN_IF_ERROR(PivotTo(root.get()));
  // Every shim's namespace has this very tmpfs: none may leave anything there.
  RETURN_IF_ERROR(SetMountAttributes(root.get(), MOUNT_ATTR_RDONLY, 0, 0, /*recursive=*/false));
  return Open("/proc/thread-self/ns/mnt", O_RDONLY);
}

// The mount that `path` (absolute, without links) lies on: the deepest, and of equals the last.
const MountEntry* MountOf(const std::vector<MountEntry>& mounts, const std::string& path) {
  const MountEntry* best = nullptr;
  for (const MountEntry& mount : mounts) {
    const bool covers = mount.target == "/" || path == mount.target ||
                        absl::StartsWith(path, absl::StrCat(mount.target, "/"));
    if (covers && (best == nullptr || mount.target.size() >= best->target.size())) best = &mount;
  }
  return best;
}

// A mount namespace cannot be pinned on a shared mount (the kernel refuses to propagate a copy:
// EINVAL). On a host with a shared root, as under systemd, the run directory therefore becomes a
// private mount of its own, once.
absl::Status MakePinnable(const std::string& run_dir) {
  char resolved[PATH_MAX];
  if (realpath(run_dir.c_str(), resolved) == nullptr) {
    return ErrnoStatus(errno, absl::StrCat("resolve ", run_dir));
  }
  ASSIGN_OR_RETURN(const std::string text, ReadFile(kMountInfo, kMountInfoLimit));
  ASSIGN_OR_RETURN(const std::vector<MountEntry> mounts, ParseMountInfo(text));
  const MountEntry* mount_of = MountOf(mounts, resolved);
  if (mount_of == nullptr || !mount_of->is_shared) return absl::OkStatus();
  ASSIGN_OR_RETURN(const DetachedMount tree, ClonePrivate(resolved));
  RETURN_IF_ERROR(AttachMount(tree.get(), AT_FDCWD, resolved));
  // It was attached to a shared parent and joined a peer group of its own there.
  if (mount(nullptr, resolved, nullptr, MS_PRIVATE, nullptr) != 0) {
    return ErrnoStatus(errno, absl::StrCat("make ", resolved, " private"));
  }
  return absl::OkStatus();
}

// True when `path` is a mounted namespace file.
absl::StatusOr<bool> IsPinned(const std::string& path) {
  struct statfs fs;
  if (statfs(path.c_str(), &fs) != 0) {
    if (errno == ENOENT) return false;
    return ErrnoStatus(errno, absl::StrCat("stat ", path));
  }
  return fs.f_type == NSFS_MAGIC;
}

absl::Status BindNamespace(int ns_fd, int dir_fd, const std::string& name) {
  ASSIGN_OR_RETURN(const DetachedMount ns, CloneTree(ns_fd, "", /*recursive=*/false));
  return AttachMount(ns.get(), dir_fd, name);
}

absl::Status BindOnNewFile(const char* ns_path, int dir_fd, const char* name) {
  ASSIGN_OR_RETURN(const UniqueFd ns, Open(ns_path, O_RDONLY));
  ASSIGN_OR_RETURN(const UniqueFd file, OpenAt(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL, 0600));
  return BindNamespace(ns.get(), dir_fd, name);
}

// On a thread that is in the holder namespace: makes the pod's namespaces and their mounts, and
// returns the new mount namespace.
absl::StatusOr<UniqueFd> BuildPinNamespace(const PodNamespaceOptions& options) {
  RETURN_IF_ERROR(Unshare(CLONE_NEWNS | CLONE_NEWUTS | (options.private_ipc ? CLONE_NEWIPC : 0)));
  if (!options.hostname.empty() &&
      sethostname(options.hostname.data(), options.hostname.size()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("set hostname ", options.hostname));
  }
  ASSIGN_OR_RETURN(UniqueFd pin, Open("/proc/thread-self/ns/mnt", O_RDONLY));
  ASSIGN_OR_RETURN(const DetachedMount root, AttachNewRoot("/root"));
  RETURN_IF_ERROR(BindOnNewFile("/proc/thread-self/ns/uts", root.get(), "uts"));
  if (options.private_ipc) {
    RETURN_IF_ERROR(BindOnNewFile("/proc/thread-self/ns/ipc", root.get(), "ipc"));
    ASSIGN_OR_RETURN(
        const DetachedMount shm,
        NewMount("tmpfs",
                 {{"source", "shm"}, {"mode", "1777"}, {"size", absl::StrCat(options.shm_bytes)}},
                 kPlain));
    RETURN_IF_ERROR(MakeDirAt(root.get(), "shm", 0755));
    RETURN_IF_ERROR(AttachMount(shm.get(), root.get(), "shm"));
  }
  RETURN_IF_ERROR(PivotTo(root.get()));
  return pin;
}

// In the caller's namespace, which is older than the one pinned: the kernel wants it so.
absl::Status PinAt(int pin_fd, const std::string& pin_path) {
  ASSIGN_OR_RETURN(UniqueFd file, Open(pin_path, O_WRONLY | O_CREAT | O_NOFOLLOW, 0600));
  file.reset();
  BERTH_FAILPOINT(pin_namespaces_before_bind);
  RETURN_IF_ERROR(BindNamespace(pin_fd, AT_FDCWD, pin_path));
  BERTH_FAILPOINT(pin_namespaces_after_bind);
  return absl::OkStatus();
}

constexpr int kAnyCpu = -1;

absl::Status MoveToCpu(int cpu) {
  if (cpu == kAnyCpu) return absl::OkStatus();
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  if (sched_setaffinity(0, sizeof one, &one) != 0) return ErrnoStatus(errno, "move to a CPU");
  return absl::OkStatus();
}

absl::Status PinOnce(int holder_ns_fd, const std::string& pin_path,
                     const PodNamespaceOptions& options, int cpu) {
  UniqueFd pin;
  RETURN_IF_ERROR_CTX(OnPrivateThread([&]() -> absl::Status {
                        RETURN_IF_ERROR(MoveToCpu(cpu));
                        RETURN_IF_ERROR(EnterMountNamespace(holder_ns_fd));
                        ASSIGN_OR_RETURN(pin, BuildPinNamespace(options));
                        return absl::OkStatus();
                      }),
                      "make pod namespaces");
  if (absl::Status status = PinAt(pin.get(), pin_path); !status.ok()) {
    // The pin's own error is the one to report; a file that stays is what Unpin expects.
    (void)UnpinPodNamespaces(pin_path);
    return Annotate(status, "pin namespaces");
  }
  return absl::OkStatus();
}

absl::StatusOr<PodNamespaces> OpenInPinNamespace() {
  PodNamespaces pod;
  ASSIGN_OR_RETURN(pod.uts, Open("/uts", O_RDONLY));
  absl::StatusOr<UniqueFd> ipc = Open("/ipc", O_RDONLY);
  if (!ipc.ok()) {
    if (IsErrno(ipc.status(), ENOENT)) return pod;
    return ipc.status();
  }
  pod.ipc = *std::move(ipc);
  ASSIGN_OR_RETURN(pod.shm, CloneTree(AT_FDCWD, "/shm", /*recursive=*/false));
  return pod;
}

}  // namespace

absl::Status OnPrivateThread(const std::function<absl::Status()>& body) {
  PrivateCall call{&body, absl::OkStatus()};
  pthread_t thread;
  if (const int error = pthread_create(&thread, nullptr, &RunPrivateCall, &call); error != 0) {
    return ErrnoStatus(error, "start a thread");
  }
  (void)pthread_join(thread, nullptr);  // fails only for a thread that is none
  return call.result;
}

absl::StatusOr<UniqueFd> MakeHolderNamespace(const std::string& data_dir,
                                             const std::string& run_dir) {
  UniqueFd holder;
  RETURN_IF_ERROR_CTX(OnPrivateThread([&]() -> absl::Status {
                        RETURN_IF_ERROR(MakePinnable(run_dir));
                        ASSIGN_OR_RETURN(holder, BuildHolder(data_dir, run_dir));
                        return absl::OkStatus();
                      }),
                      "make holder namespace");
  return holder;
}

absl::Status PinPodNamespaces(int holder_ns_fd, const std::string& pin_path,
                              const PodNamespaceOptions& options) {
  ASSIGN_OR_RETURN(const bool pinned, IsPinned(pin_path));
  if (pinned)
    return absl::AlreadyExistsError(absl::StrCat("pin namespaces: ", pin_path, " is one"));
  absl::Status status = PinOnce(holder_ns_fd, pin_path, options, kAnyCpu);
  // The kernel pins a mount namespace only in an older one and tells age by id, which Linux 6.18
  // deals to each CPU in batches: between namespaces made on two CPUs the order is chance. Where
  // the caller's namespace is not the host's first, some CPU has a higher id than its own.
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return status;
  for (int cpu = 0; cpu < CPU_SETSIZE && IsErrno(status, ELOOP); ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) status = PinOnce(holder_ns_fd, pin_path, options, cpu);
  }
  return status;
}

absl::Status UnpinPodNamespaces(const std::string& pin_path) {
  // More than one only if something else mounted there; each is on top of the next.
  while (umount2(pin_path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
  }
  if (errno != EINVAL && errno != ENOENT) {  // EINVAL: a plain file
    return ErrnoStatus(errno, absl::StrCat("unpin namespaces at ", pin_path));
  }
  if (unlink(pin_path.c_str()) != 0 && errno != ENOENT) {
    return ErrnoStatus(errno, absl::StrCat("remove ", pin_path));
  }
  return absl::OkStatus();
}

absl::StatusOr<PodNamespaces> OpenPodNamespaces(const std::string& pin_path) {
  ASSIGN_OR_RETURN(const bool pinned, IsPinned(pin_path));
  if (!pinned) return absl::NotFoundError(absl::StrCat("no namespaces pinned at ", pin_path));
  ASSIGN_OR_RETURN(const UniqueFd pin, Open(pin_path, O_RDONLY));
  PodNamespaces pod;
  RETURN_IF_ERROR_CTX(OnPrivateThread([&]() -> absl::Status {
                        RETURN_IF_ERROR(EnterMountNamespace(pin.get()));
                        ASSIGN_OR_RETURN(pod, OpenInPinNamespace());
                        return absl::OkStatus();
                      }),
                      absl::StrCat("open namespaces pinned at ", pin_path));
  return pod;
}

}  // namespace berth::os

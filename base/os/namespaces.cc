#include "base/os/namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/os/namespaces_internal.h"
#include "base/status_macros.h"

namespace berth::os {
namespace internal {

const uint64_t kPlainMount = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

namespace {

constexpr char kMountInfo[] = "/proc/thread-self/mountinfo";
constexpr size_t kMountInfoLimit = 64 << 20;

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

}  // namespace

absl::Status Unshare(int flags) {
  if (unshare(flags) != 0) return ErrnoStatus(errno, "unshare namespaces");
  return absl::OkStatus();
}

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

absl::StatusOr<DetachedMount> AttachNewRoot(const std::string& over, const char* inodes) {
  ASSIGN_OR_RETURN(
      DetachedMount root,
      NewMount("tmpfs",
               {{"source", "berth"}, {"mode", "0755"}, {"size", "64k"}, {"nr_inodes", inodes}},
               kPlainMount));
  RETURN_IF_ERROR(AttachMount(root.get(), AT_FDCWD, over));
  return root;
}

absl::Status PivotTo(int root_fd) {
  if (fchdir(root_fd) != 0) return ErrnoStatus(errno, "enter the new root");
  // Old and new root at the same place: the old one ends up on top of the new and is detached.
  if (syscall(SYS_pivot_root, ".", ".") != 0) return ErrnoStatus(errno, "pivot_root");
  if (umount2(".", MNT_DETACH) != 0) return ErrnoStatus(errno, "detach the old root");
  if (chdir("/") != 0) return ErrnoStatus(errno, "enter the new root");
  return absl::OkStatus();
}

absl::StatusOr<DetachedMount> ClonePrivate(const std::string& path) {
  ASSIGN_OR_RETURN(DetachedMount tree, CloneTree(AT_FDCWD, path, /*recursive=*/true));
  RETURN_IF_ERROR(SetMountAttributes(tree.get(), 0, 0, MS_PRIVATE, /*recursive=*/true));
  return tree;
}

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

absl::Status UnpinFile(const std::string& path) {
  // More than one only if something else mounted there; each is on top of the next.
  while (umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
  }
  if (errno != EINVAL && errno != ENOENT) {  // EINVAL: a plain file
    return ErrnoStatus(errno, absl::StrCat("unpin namespaces at ", path));
  }
  if (unlink(path.c_str()) != 0 && errno != ENOENT) {
    return ErrnoStatus(errno, absl::StrCat("remove ", path));
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> IsOnSharedMount(const std::string& path) {
  char resolved[PATH_MAX];
  if (realpath(path.c_str(), resolved) == nullptr) {
    return ErrnoStatus(errno, absl::StrCat("resolve ", path));
  }
  ASSIGN_OR_RETURN(const std::string text, ReadFile(kMountInfo, kMountInfoLimit));
  ASSIGN_OR_RETURN(const std::vector<MountEntry> mounts, ParseMountInfo(text));
  const MountEntry* mount_of = MountOf(mounts, resolved);
  return mount_of != nullptr && mount_of->is_shared;
}

}  // namespace internal

namespace {

using internal::AttachNewRoot;
using internal::ClonePrivate;
using internal::MakeDirAt;

struct PrivateCall {
  const std::function<absl::Status()>* body;
  absl::Status result;
};

void* RunPrivateCall(void* argument) {
  auto* call = static_cast<PrivateCall*>(argument);
  call->result = (*call->body)();
  return nullptr;
}

absl::StatusOr<UniqueFd> BuildHolder(const std::string& data_dir, const std::string& run_dir) {
  // First: the kernel's copy of the table leaves pinned mount namespaces out, a recursive bind
  // mount would not. With them the holder would keep pods' namespaces alive after Unpin, for as
  // long as a shim lives (and attaching a pin older than the holder is ELOOP).
  RETURN_IF_ERROR(internal::Unshare(CLONE_NEWNS));
  RETURN_IF_ERROR(internal::MakeAllPrivate());
  ASSIGN_OR_RETURN(const DetachedMount data, ClonePrivate(data_dir));
  ASSIGN_OR_RETURN(const DetachedMount run, ClonePrivate(run_dir));
  ASSIGN_OR_RETURN(const DetachedMount proc,
                   NewMount("proc", {{"source", "proc"}}, internal::kPlainMount));
  ASSIGN_OR_RETURN(const DetachedMount root, AttachNewRoot(run_dir, "32"));
  for (const char* name : {"proc", "data", "run", "root"}) {
    RETURN_IF_ERROR(MakeDirAt(root.get(), name, 0755));
  }
  RETURN_IF_ERROR(AttachMount(proc.get(), root.get(), "proc"));
  RETURN_IF_ERROR(AttachMount(data.get(), root.get(), "data"));
  RETURN_IF_ERROR(AttachMount(run.get(), root.get(), "run"));
  RETURN_IF_ERROR(internal::PivotTo(root.get()));
  // Every shim's namespace has this very tmpfs: none may leave anything there.
  RETURN_IF_ERROR(SetMountAttributes(root.get(), MOUNT_ATTR_RDONLY, 0, 0, /*recursive=*/false));
  return Open("/proc/thread-self/ns/mnt", O_RDONLY);
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
                        ASSIGN_OR_RETURN(holder, BuildHolder(data_dir, run_dir));
                        return absl::OkStatus();
                      }),
                      "make holder namespace");
  return holder;
}

}  // namespace berth::os

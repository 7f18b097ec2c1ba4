// The pin table itself; what is in it: pod_namespaces.cc.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/os/namespaces.h"
#include "base/os/namespaces_internal.h"
#include "base/os/pod_namespaces.h"
#include "base/status_macros.h"

namespace berth::os {
namespace {

using internal::IsPinned;

constexpr int kAnyCpu = -1;

std::string TablePath(const std::string& run_dir) { return absl::StrCat(run_dir, "/pins"); }

// `dir` becomes a mount of its own, over itself.
absl::Status MountOnItself(const std::string& dir, unsigned long propagation) {
  ASSIGN_OR_RETURN(const DetachedMount tree, internal::ClonePrivate(dir));
  RETURN_IF_ERROR(AttachMount(tree.get(), AT_FDCWD, dir));
  // Attached to a shared parent it has joined a peer group there.
  if (mount(nullptr, dir.c_str(), nullptr, propagation, nullptr) != 0) {
    return ErrnoStatus(errno, absl::StrCat("set the propagation of ", dir));
  }
  return absl::OkStatus();
}

// A mount namespace cannot be pinned on a shared mount (the kernel refuses to propagate a copy:
// EINVAL). On a host with a shared root, as under systemd, the run directory therefore becomes a
// private mount of its own, once.
absl::Status MakePinnable(const std::string& run_dir) {
  ASSIGN_OR_RETURN(const bool shared, internal::IsOnSharedMount(run_dir));
  return shared ? MountOnItself(run_dir, MS_PRIVATE) : absl::OkStatus();
}

// The entry of that id.
const MountEntry* Find(const std::vector<MountEntry>& mounts, uint64_t id) {
  for (const MountEntry& mount : mounts) {
    if (mount.id == id) return &mount;
  }
  return nullptr;
}

// What MakePinnable made, and nothing that another has mounted there: a private mount of a
// directory over itself, on a shared one. Detached, for the caller has files open in it.
absl::Status UndoPinnable(const std::string& run_dir) {
  char resolved[PATH_MAX];
  if (realpath(run_dir.c_str(), resolved) == nullptr) {
    return ErrnoStatus(errno, absl::StrCat("resolve ", run_dir));
  }
  ASSIGN_OR_RETURN(const MountEntry own, MountOf(run_dir));
  ASSIGN_OR_RETURN(const std::string text, ReadFile("/proc/thread-self/mountinfo", 64 << 20));
  ASSIGN_OR_RETURN(const std::vector<MountEntry> mounts, ParseMountInfo(text));
  const MountEntry* below = Find(mounts, own.parent);
  if (own.target != resolved || own.is_shared || below == nullptr || !below->is_shared) {
    return absl::OkStatus();
  }
  const std::string at = below->target == "/" ? "" : below->target;
  const std::string root = below->root == "/" ? "" : below->root;
  if (own.source != below->source || own.root != absl::StrCat(root, own.target.substr(at.size()))) {
    return absl::OkStatus();
  }
  if (umount2(resolved, MNT_DETACH | UMOUNT_NOFOLLOW) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("unmount ", resolved));
}

absl::Status MoveToCpu(int cpu) {
  if (cpu == kAnyCpu) return absl::OkStatus();
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  if (sched_setaffinity(0, sizeof one, &one) != 0) return ErrnoStatus(errno, "move to a CPU");
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> BuildTable(const std::string& run_dir) {
  RETURN_IF_ERROR(internal::Unshare(CLONE_NEWNS));
  RETURN_IF_ERROR(internal::MakeAllPrivate());
  ASSIGN_OR_RETURN(UniqueFd table, Open("/proc/thread-self/ns/mnt", O_RDONLY));
  ASSIGN_OR_RETURN(const DetachedMount root, internal::AttachNewRoot(run_dir, "0"));
  RETURN_IF_ERROR(internal::PivotTo(root.get()));
  return table;
}

// The caller's namespace is older than the one pinned: the kernel wants it so.
absl::StatusOr<UniqueFd> PinNewTable(const std::string& run_dir, int cpu) {
  UniqueFd table;
  RETURN_IF_ERROR(OnPrivateThread([&]() -> absl::Status {
    RETURN_IF_ERROR(MoveToCpu(cpu));
    ASSIGN_OR_RETURN(table, BuildTable(run_dir));
    return absl::OkStatus();
  }));
  const std::string path = TablePath(run_dir);
  ASSIGN_OR_RETURN(UniqueFd file, Open(path, O_WRONLY | O_CREAT | O_NOFOLLOW, 0600));
  file.reset();
  RETURN_IF_ERROR(internal::BindNamespace(table.get(), AT_FDCWD, path));
  return Open(path, O_RDONLY);  // what a later daemon opens
}

absl::StatusOr<UniqueFd> MakeTable(const std::string& run_dir) {
  RETURN_IF_ERROR(MakePinnable(run_dir));
  absl::StatusOr<UniqueFd> table = PinNewTable(run_dir, kAnyCpu);
  // The kernel pins a mount namespace only in an older one and tells age by id, which Linux 6.18
  // deals to each CPU in batches: between namespaces made on two CPUs the order is chance. Where
  // the caller's namespace is not the host's first, some CPU has a higher id than its own.
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return table;
  for (int cpu = 0; cpu < CPU_SETSIZE && IsErrno(table.status(), ELOOP); ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) table = PinNewTable(run_dir, cpu);
  }
  return table;
}

}  // namespace

absl::StatusOr<PinTable> PinTable::Open(const std::string& run_dir) {
  const std::string path = TablePath(run_dir);
  ASSIGN_OR_RETURN(const bool pinned, IsPinned(path));
  absl::StatusOr<UniqueFd> table = pinned ? os::Open(path, O_RDONLY) : MakeTable(run_dir);
  if (!table.ok()) return Annotate(table.status(), "open the table of pinned namespaces");
  return PinTable(*std::move(table));
}

absl::Status PinTable::Remove(const std::string& run_dir) {
  const std::string path = TablePath(run_dir);
  ASSIGN_OR_RETURN(const bool pinned, IsPinned(path));
  if (pinned) {
    ASSIGN_OR_RETURN(const PinTable table, Open(run_dir));
    ASSIGN_OR_RETURN(const std::vector<std::string> pods, table.List());
    if (!pods.empty()) {
      return absl::FailedPreconditionError(
          absl::StrCat("remove ", path, ": ", pods.size(), " pods are in it"));
    }
  }
  RETURN_IF_ERROR(internal::UnpinFile(path));
  return UndoPinnable(run_dir);
}

absl::StatusOr<std::vector<std::string>> PinTable::List() const {
  std::vector<std::string> pods;
  RETURN_IF_ERROR_CTX(OnPrivateThread([&]() -> absl::Status {
                        RETURN_IF_ERROR(internal::EnterMountNamespace(ns_.get()));
                        ASSIGN_OR_RETURN(pods, ListDir(AT_FDCWD, "/"));
                        return absl::OkStatus();
                      }),
                      "list pinned namespaces");
  return pods;
}

absl::Status MakeNetworkDirectory(const std::string& dir) {
  RETURN_IF_ERROR(MakeDirs(dir, 0755));
  ASSIGN_OR_RETURN(const UniqueFd fd, Open(dir, O_RDONLY | O_DIRECTORY));
  // Two that come at once must not mount one on top of the other: `ip netns` takes this lock too.
  if (flock(fd.get(), LOCK_EX) != 0) return ErrnoStatus(errno, absl::StrCat("lock ", dir));
  ASSIGN_OR_RETURN(const bool shared, internal::IsOnSharedMount(dir));
  return shared ? absl::OkStatus() : MountOnItself(dir, MS_SHARED);
}

}  // namespace berth::os

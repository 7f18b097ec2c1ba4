#include "shim/child/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/child/copy_up.h"
#include "shim/child/mount_calls.h"
#include "shim/child/report.h"
#include "shim/child/root_path.h"

namespace berth::shim::child {
namespace {

// The directory `path` with no symbolic link anywhere in it: an image whose /proc points elsewhere
// must not choose where procfs goes.
int OpenRealDirectory(int root_fd, const char* path) {
  const int flags = O_PATH | O_DIRECTORY;
  const int fd = OpenInRoot(root_fd, path, flags, RESOLVE_NO_SYMLINKS);
  if (fd != -ENOENT) return fd;
  const int made = MakeTarget(root_fd, path, TargetKind::kDirectory);
  if (made < 0) return made;
  close(made);
  return OpenInRoot(root_fd, path, flags, RESOLVE_NO_SYMLINKS);
}

// mount_setattr(2) refuses what is no mount's root only when there is something to change.
bool IsMountRoot(int fd) {
  struct statx st;
  return syscall(SYS_statx, fd, "", AT_EMPTY_PATH, 0, &st) == 0 &&
         (st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

// Changes what is mounted at the destination. 0 or -errno.
int Remount(const RootContext& context, const MountPlan& mount, Words* detail) {
  const PlanReader plan(context.setup);
  const int fd = OpenInRoot(context.root_fd, plan.TextAt(mount.destination), O_PATH);
  if (fd < 0) return fd;
  int result = IsMountRoot(fd) ? 0 : -EINVAL;
  if (result == 0 && (mount.flags & kReconfigure) != 0) {
    result = Reconfigure(fd, plan, mount.options, detail);
  }
  if (result == 0 && (mount.attributes_recursive | mount.clear_recursive) != 0) {
    result = SetAttributes(fd, {mount.attributes_recursive, mount.clear_recursive}, 0, true);
  }
  if (result == 0) {
    result = SetAttributes(fd, {mount.attributes, mount.clear}, mount.propagation, false);
  }
  close(fd);
  return result;
}

void MountOne(const RootContext& context, const MountPlan& mount) {
  const PlanReader plan(context.setup);
  const char* destination = plan.TextAt(mount.destination);
  Words detail;
  detail.Add(destination);
  const auto check = [&](int result) {
    if (result < 0) Fail(context.report_fd, kStepMount, -result, detail.c_str());
    return result;
  };
  if ((mount.flags & kRemount) != 0) {
    detail.Add(" (remount)");
    check(Remount(context, mount, &detail));
    return;
  }
  const TargetKind kind =
      (mount.flags & kTargetIsFile) != 0 ? TargetKind::kFile : TargetKind::kDirectory;
  const int target_fd =
      check((mount.flags & kNoSymlinks) != 0 ? OpenRealDirectory(context.root_fd, destination)
                                             : MakeTarget(context.root_fd, destination, kind));
  // move_mount says EINVAL for both.
  struct stat st;
  check(fstat(target_fd, &st) == 0 ? 0 : -errno);
  if (S_ISDIR(st.st_mode) != (kind == TargetKind::kDirectory)) {
    check(kind == TargetKind::kDirectory ? -ENOTDIR : -EISDIR);
  }
  int mount_fd = mount.tree_fd;
  if (mount_fd < 0) {
    detail.Add(" (").Add(plan.TextAt(mount.fs_type)).Add(")");
    mount_fd = check(
        NewFileSystem(plan, plan.TextAt(mount.fs_type), mount.options, mount.attributes, &detail));
  }
  if ((mount.flags & kCopyUp) != 0) {
    check(CopyUp(target_fd, mount_fd, (mount.flags & kCopyMode) != 0));
  }
  check(Attach(mount_fd, target_fd));
  if (mount.propagation != 0) check(SetAttributes(mount_fd, {}, mount.propagation, false));
  close(target_fd);
  close(mount_fd);
}

bool IsDevice(const struct stat& st, const DevicePlan& device) {
  return (st.st_mode & S_IFMT) == (device.mode & S_IFMT) &&
         (S_ISFIFO(st.st_mode) || st.st_rdev == device.device);
}

// Where mknod is refused (a device cgroup, a user namespace), the host's node is bound instead. A
// devtmpfs shows the host's nodes; it has to be attached for a clone of one to be allowed, so it
// stands on the holder's /proc meanwhile (the oom score is written by now).
int BindDevice(const RootContext& context, const DevicePlan& device, const char* path) {
  const PlanReader plan(context.setup);
  if (strncmp(path, "/dev/", 5) != 0) return -EPERM;
  Words ignored;
  const int devtmpfs = NewFileSystem(plan, "devtmpfs", Span{0, 0}, 0, &ignored);
  if (devtmpfs < 0) return devtmpfs;
  const int holder_proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (holder_proc < 0) return -errno;
  if (const int error = Attach(devtmpfs, holder_proc); error != 0) return error;
  const int node = OpenInRoot(devtmpfs, path + 4, O_PATH | O_NOFOLLOW);
  if (node < 0) return node;
  struct stat st;
  if (fstat(node, &st) != 0) return -errno;
  if (!IsDevice(st, device)) return -ENODEV;
  const int clone = Clone(node, false);
  if (clone < 0) return clone;
  const int target = MakeTarget(context.root_fd, path, TargetKind::kFile);
  if (target < 0) return target;
  const int error = Attach(clone, target);
  close(target);
  close(clone);
  close(node);
  (void)umount2("/proc", MNT_DETACH);  // dropped with the holder's tree at the latest
  close(holder_proc);
  close(devtmpfs);
  return error;
}

// What is there already is a mount of the spec or the image's own: the same device, or an error
// (config-linux.md, "Devices"). An image that has something else at /dev/null must not choose what
// masks a path (CVE-2025-31133).
int CheckThere(const RootContext& context, const DevicePlan& device, const char* path) {
  const int there = OpenInRoot(context.root_fd, path, O_PATH | O_NOFOLLOW);
  if (there < 0) return there;
  struct stat st;
  const int result = fstat(there, &st) != 0 ? -errno : IsDevice(st, device) ? 0 : -EEXIST;
  close(there);
  return result;
}

// `path` as a file with the node on top.
int BindNode(const RootContext& context, const DevicePlan& device, const char* path) {
  const int there = CheckThere(context, device, path);
  if (there != -ENOENT) return there;
  const int target = MakeTarget(context.root_fd, path, TargetKind::kFile);
  if (target < 0) return target;
  const int error = Attach(device.node_fd, target);
  close(target);
  return error;
}

int MakeDevice(const RootContext& context, const DevicePlan& device, const char* path) {
  if (device.node_fd >= 0) return BindNode(context, device, path);
  const char* name = nullptr;
  const int parent = MakeParent(context.root_fd, path, &name);
  if (parent < 0) return parent;
  int result = 0;
  if (mknodat(parent, name, device.mode, device.device) != 0) {
    result = errno == EEXIST ? CheckThere(context, device, path) : -errno;
  } else if ((device.uid != 0 || device.gid != 0) &&
             fchownat(parent, name, device.uid, device.gid, AT_SYMLINK_NOFOLLOW) != 0) {
    result = -errno;
  }
  close(parent);
  return result == -EPERM ? BindDevice(context, device, path) : result;
}

int WriteSysctl(int proc_fd, const char* path, const char* value) {
  const int fd = openat(proc_fd, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return -errno;
  const int result = write(fd, value, strlen(value)) >= 0 ? 0 : -errno;
  close(fd);
  return result;
}

// True when a path of the spec is simply not there on this kernel or in this image.
bool IsAbsent(int result) { return result == -ENOENT || result == -ENOTDIR; }

}  // namespace

void MountAll(const RootContext& context) {
  const auto* mounts = PlanReader(context.setup).Elements<MountPlan>(context.setup->mounts);
  for (uint32_t i = 0; i < context.setup->mounts.count; ++i) MountOne(context, mounts[i]);
}

void MakeDevices(const RootContext& context) {
  const PlanReader plan(context.setup);
  const auto* devices = plan.Elements<DevicePlan>(context.setup->devices);
  for (uint32_t i = 0; i < context.setup->devices.count; ++i) {
    const char* path = plan.TextAt(devices[i].path);
    if (const int error = MakeDevice(context, devices[i], path); error != 0) {
      Fail(context.report_fd, kStepDevice, -error, path);
    }
  }
}

void MakeLinks(const RootContext& context) {
  const PlanReader plan(context.setup);
  const auto* links = plan.Elements<TextPair>(context.setup->links);
  for (uint32_t i = 0; i < context.setup->links.count; ++i) {
    const char* path = plan.TextAt(links[i].first);
    const char* name = nullptr;
    const int parent = MakeParent(context.root_fd, path, &name);
    if (parent < 0) Fail(context.report_fd, kStepDevice, -parent, path);
    if (symlinkat(plan.TextAt(links[i].second), parent, name) != 0 && errno != EEXIST) {
      Fail(context.report_fd, kStepDevice, errno, path);
    }
    close(parent);
  }
}

void FinishMounts(const RootContext& context) {
  const PlanReader plan(context.setup);
  const auto* mounts = plan.Elements<MountPlan>(context.setup->mounts);
  for (uint32_t i = 0; i < context.setup->mounts.count; ++i) {
    const MountPlan& mount = mounts[i];
    if ((mount.flags & kReadonlyAtEnd) == 0 && mount.magic == 0) continue;
    const char* destination = plan.TextAt(mount.destination);
    const int fd = OpenInRoot(context.root_fd, destination, O_PATH | O_DIRECTORY);
    if (fd < 0) Fail(context.report_fd, kStepMount, -fd, destination);
    if ((mount.flags & kReadonlyAtEnd) != 0) {
      if (const int error = SetAttributes(fd, {MOUNT_ATTR_RDONLY, 0}, 0, false); error != 0) {
        Fail(context.report_fd, kStepMount, -error, destination);
      }
    }
    if (mount.magic != 0) {
      struct statfs st;
      if (fstatfs(fd, &st) != 0) Fail(context.report_fd, kStepMount, errno, destination);
      if (static_cast<uint64_t>(st.f_type) != mount.magic) {
        Words detail;
        detail.Add(destination).Add(": no longer a ").Add(plan.TextAt(mount.fs_type));
        Fail(context.report_fd, kStepMount, EEXIST, detail.c_str());
      }
    }
    close(fd);
  }
}

void SetSysctls(const RootContext& context) {
  if (context.setup->sysctls.count == 0) return;
  const PlanReader plan(context.setup);
  Words detail;
  // An instance of our own: nothing in the root can stand in its way, and it is never attached.
  const int proc_fd = NewFileSystem(plan, "proc", Span{0, 0}, 0, &detail);
  if (proc_fd < 0) Fail(context.report_fd, kStepSysctl, -proc_fd, "proc");
  const auto* sysctls = plan.Elements<TextPair>(context.setup->sysctls);
  for (uint32_t i = 0; i < context.setup->sysctls.count; ++i) {
    const char* path = plan.TextAt(sysctls[i].first);
    const int error = WriteSysctl(proc_fd, path, plan.TextAt(sysctls[i].second));
    if (error != 0) Fail(context.report_fd, kStepSysctl, -error, path);
  }
  close(proc_fd);
}

void MaskPaths(const RootContext& context) {
  const PlanReader plan(context.setup);
  const auto* paths = plan.Elements<Text>(context.setup->masked);
  int null_fd = -1;
  int empty_fd = -1;  // one empty tmpfs for all directories; clones of it from the second on
  for (uint32_t i = 0; i < context.setup->masked.count; ++i) {
    const char* path = plan.TextAt(paths[i]);
    const auto check = [&](int result) {
      if (result < 0) Fail(context.report_fd, kStepMask, -result, path);
      return result;
    };
    const int target = OpenInRoot(context.root_fd, path, O_PATH);
    if (IsAbsent(target)) continue;
    check(target);
    struct stat st;
    check(fstat(target, &st) == 0 ? 0 : -errno);
    if (!S_ISDIR(st.st_mode)) {
      if (null_fd < 0) null_fd = check(OpenNull(context.root_fd, true));
      const int clone = check(Clone(null_fd, false));
      check(Attach(clone, target));
      close(clone);
    } else if (empty_fd < 0) {
      Words ignored;
      empty_fd = check(NewFileSystem(
          plan, "tmpfs", Span{0, 0},
          MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, &ignored));
      check(Attach(empty_fd, target));
    } else {
      const int clone = check(Clone(empty_fd, false));
      check(Attach(clone, target));
      close(clone);
    }
    close(target);
  }
  if (null_fd >= 0) close(null_fd);
  if (empty_fd >= 0) close(empty_fd);
}

void ProtectPaths(const RootContext& context) {
  const PlanReader plan(context.setup);
  const auto* paths = plan.Elements<Text>(context.setup->readonly);
  for (uint32_t i = 0; i < context.setup->readonly.count; ++i) {
    const char* path = plan.TextAt(paths[i]);
    const auto check = [&](int result) {
      if (result < 0) Fail(context.report_fd, kStepReadonly, -result, path);
      return result;
    };
    const int target = OpenInRoot(context.root_fd, path, O_PATH);
    if (IsAbsent(target)) continue;
    check(target);
    const int clone = check(Clone(target, true));
    check(SetAttributes(clone, {MOUNT_ATTR_RDONLY, 0}, 0, true));
    check(Attach(clone, target));
    close(clone);
    close(target);
  }
}

}  // namespace berth::shim::child

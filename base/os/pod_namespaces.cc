#include "base/os/pod_namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/os/namespaces.h"
#include "base/os/namespaces_internal.h"
#include "base/os/sysctl.h"
#include "base/status_macros.h"

namespace berth::os {
namespace {

using internal::BindNamespace;
using internal::EnterMountNamespace;

// What the thread that makes them is in.
struct MadeNamespaces {
  UniqueFd uts, ipc, net, user;
};

absl::Status Join(const UniqueFd& ns, const char* what) {
  if (!ns.valid() || setns(ns.get(), 0) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("enter the pod's ", what, " namespace"));
}

// Owned by the pod's user namespace, or by the host's where it has none. The thread is in all of
// them afterwards, but for the user namespace: what is left to do is the host root's to do.
absl::StatusOr<MadeNamespaces> EnterNew(const PodNamespaceOptions& options) {
  const unsigned long flags = CLONE_NEWUTS | (options.private_ipc ? CLONE_NEWIPC : 0) |
                              (options.private_network ? CLONE_NEWNET : 0);
  MadeNamespaces made;
  if (!options.user.empty()) {
    ASSIGN_OR_RETURN(UserNamespaces owned, MakeUserNamespace(options.user, flags));
    RETURN_IF_ERROR(Join(owned.uts, "UTS"));
    RETURN_IF_ERROR(Join(owned.ipc, "IPC"));
    RETURN_IF_ERROR(Join(owned.net, "network"));
    return MadeNamespaces{std::move(owned.uts), std::move(owned.ipc), std::move(owned.net),
                          std::move(owned.user)};
  }
  RETURN_IF_ERROR(internal::Unshare(static_cast<int>(flags)));
  ASSIGN_OR_RETURN(made.uts, Open("/proc/thread-self/ns/uts", O_RDONLY));
  if (options.private_ipc) {
    ASSIGN_OR_RETURN(made.ipc, Open("/proc/thread-self/ns/ipc", O_RDONLY));
  }
  if (options.private_network) {
    ASSIGN_OR_RETURN(made.net, Open("/proc/thread-self/ns/net", O_RDONLY));
  }
  return made;
}

absl::Status BringLoopbackUp() {
  const UniqueFd socket_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket_fd.valid()) return ErrnoStatus(errno, "bring lo up: socket");
  ifreq request{};
  memcpy(request.ifr_name, "lo", 3);
  if (ioctl(socket_fd.get(), SIOCGIFFLAGS, &request) != 0) {
    return ErrnoStatus(errno, "read the flags of lo");
  }
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (ioctl(socket_fd.get(), SIOCSIFFLAGS, &request) != 0) return ErrnoStatus(errno, "bring lo up");
  return absl::OkStatus();
}

// The host's id of the mapped root: who owns the pod's /dev/shm and its sysctls.
uint32_t RootOf(const std::vector<IdMapping>& mappings) {
  for (const IdMapping& m : mappings) {
    if (m.container_id == 0) return m.host_id;
  }
  return 0;
}

// Raw: of this thread only. Its capabilities come back with the host's root.
absl::Status BecomeEffectively(uint32_t uid) {
  if (syscall(SYS_setresuid, -1, uid, -1) != 0) return ErrnoStatus(errno, "change the user id");
  return absl::OkStatus();
}

// Those of the network namespace are for who may administer it, which the host's root may; those of
// the IPC namespace are its own root's to write, and not even the host's root's.
absl::Status WriteEachSysctl(const PodNamespaceOptions& options) {
  for (const auto& [name, value] : options.sysctls) {
    const bool of_network = absl::StartsWith(name, "net");
    RETURN_IF_ERROR(BecomeEffectively(of_network ? 0 : RootOf(options.user.uids)));
    RETURN_IF_ERROR(WriteSysctl(name, value));
  }
  return absl::OkStatus();
}

// A change of the effective user sets, for all threads, who may look into this process's memory.
absl::Status WriteSysctls(const PodNamespaceOptions& options) {
  const int dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
  absl::Status written = WriteEachSysctl(options);
  const absl::Status back = BecomeEffectively(0);
  (void)prctl(PR_SET_DUMPABLE, dumpable, 0, 0, 0);  // refused where only a sysctl may say so
  RETURN_IF_ERROR(back);
  return written;
}

absl::Status SetUp(const PodNamespaceOptions& options) {
  if (!options.hostname.empty() &&
      sethostname(options.hostname.data(), options.hostname.size()) != 0) {
    return ErrnoStatus(errno, absl::StrCat("set hostname ", options.hostname));
  }
  if (options.private_network) RETURN_IF_ERROR(BringLoopbackUp());
  // After lo is up: what is set for every interface reaches it too.
  return WriteSysctls(options);
}

absl::StatusOr<DetachedMount> NewShm(const PodNamespaceOptions& options) {
  return NewMount("tmpfs",
                  {{"source", "shm"},
                   {"mode", "1777"},
                   {"size", absl::StrCat(options.shm_bytes)},
                   {"uid", absl::StrCat(RootOf(options.user.uids))},
                   {"gid", absl::StrCat(RootOf(options.user.gids))}},
                  internal::kPlainMount);
}

absl::Status BindOnNewFile(const UniqueFd& ns, int dir_fd, const char* name) {
  if (!ns.valid()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const UniqueFd file, OpenAt(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL, 0600));
  return BindNamespace(ns.get(), dir_fd, name);
}

// On a thread that is in the pin table.
absl::Status PinInTable(const std::string& dir, const MadeNamespaces& made,
                        const PodNamespaceOptions& options) {
  RETURN_IF_ERROR(internal::MakeDirAt(AT_FDCWD, dir.c_str(), 0755));
  BERTH_FAILPOINT(pin_namespaces_before_bind);
  ASSIGN_OR_RETURN(const UniqueFd fd, Open(dir, O_RDONLY | O_DIRECTORY));
  RETURN_IF_ERROR(BindOnNewFile(made.uts, fd.get(), "uts"));
  RETURN_IF_ERROR(BindOnNewFile(made.ipc, fd.get(), "ipc"));
  RETURN_IF_ERROR(BindOnNewFile(made.user, fd.get(), "user"));
  if (options.private_ipc) {
    ASSIGN_OR_RETURN(const DetachedMount shm, NewShm(options));
    RETURN_IF_ERROR(internal::MakeDirAt(fd.get(), "shm", 0755));
    RETURN_IF_ERROR(AttachMount(shm.get(), fd.get(), "shm"));
  }
  BERTH_FAILPOINT(pin_namespaces_after_bind);
  return absl::OkStatus();
}

// In the host's mount namespace.
absl::Status PinNetwork(const UniqueFd& net, const std::string& path) {
  if (!net.valid()) return absl::OkStatus();
  BERTH_FAILPOINT(pin_network_before_bind);
  ASSIGN_OR_RETURN(UniqueFd file, Open(path, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0444));
  file.reset();
  RETURN_IF_ERROR(BindNamespace(net.get(), AT_FDCWD, path));
  BERTH_FAILPOINT(pin_network_after_bind);
  return absl::OkStatus();
}

absl::Status UnpinInTable(const std::string& dir) {
  const absl::StatusOr<std::vector<std::string>> names = ListDir(AT_FDCWD, dir);
  if (IsErrno(names.status(), ENOENT)) return absl::OkStatus();
  RETURN_IF_ERROR(names.status());
  for (const std::string& name : *names) {
    const std::string path = absl::StrCat(dir, "/", name);
    while (umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
    }
    if (errno != EINVAL) return ErrnoStatus(errno, absl::StrCat("unpin ", path));  // not mounted
    if (unlink(path.c_str()) != 0 && (errno != EISDIR || rmdir(path.c_str()) != 0)) {
      return ErrnoStatus(errno, absl::StrCat("remove ", path));
    }
  }
  if (rmdir(dir.c_str()) != 0) return ErrnoStatus(errno, absl::StrCat("remove ", dir));
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> OpenIfThere(const std::string& path) {
  absl::StatusOr<UniqueFd> ns = Open(path, O_RDONLY);
  if (IsErrno(ns.status(), ENOENT)) return UniqueFd();
  return ns;
}

// On a thread that is in the pin table (or in an old pin: `dir` is "" then).
absl::StatusOr<PodNamespaces> OpenIn(const std::string& dir) {
  PodNamespaces pod;
  ASSIGN_OR_RETURN(pod.uts, Open(dir + "/uts", O_RDONLY));
  ASSIGN_OR_RETURN(pod.ipc, OpenIfThere(dir + "/ipc"));
  ASSIGN_OR_RETURN(pod.user, OpenIfThere(dir + "/user"));
  if (pod.ipc.valid()) {
    ASSIGN_OR_RETURN(pod.shm, CloneTree(AT_FDCWD, dir + "/shm", /*recursive=*/false));
  }
  return pod;
}

absl::StatusOr<PodNamespaces> OpenOnThread(int table, const std::string& dir) {
  PodNamespaces pod;
  RETURN_IF_ERROR(OnPrivateThread([&]() -> absl::Status {
    RETURN_IF_ERROR(EnterMountNamespace(table));
    ASSIGN_OR_RETURN(pod, OpenIn(dir));
    return absl::OkStatus();
  }));
  return pod;
}

absl::Status NotPinned(const std::string& what) {
  return absl::NotFoundError(absl::StrCat("no namespaces are pinned for ", what));
}

}  // namespace

absl::StatusOr<UniqueFd> PinTable::Make(const std::string& pod,
                                        const PodNamespaceOptions& options) const {
  MadeNamespaces made;
  RETURN_IF_ERROR(OnPrivateThread([&]() -> absl::Status {
    ASSIGN_OR_RETURN(made, EnterNew(options));
    RETURN_IF_ERROR(SetUp(options));
    RETURN_IF_ERROR(EnterMountNamespace(ns_.get()));
    return PinInTable(absl::StrCat("/", pod), made, options);
  }));
  return std::move(made.net);
}

absl::Status PinTable::Pin(const std::string& pod, const PodNamespaceOptions& options) const {
  absl::StatusOr<UniqueFd> net = Make(pod, options);
  if (IsErrno(net.status(), EEXIST)) {
    return absl::AlreadyExistsError(absl::StrCat("pin namespaces: there are some of ", pod));
  }
  absl::Status status = net.status();
  if (status.ok()) status = PinNetwork(*net, options.network_path);
  if (status.ok()) return status;
  if (IsErrno(status, EEXIST)) {  // somebody else's: it stays
    (void)Unpin(pod, "");         // the pin that is there is the one to report
    return absl::AlreadyExistsError(
        absl::StrCat("pin namespaces: ", options.network_path, " is there"));
  }
  // Its own error is the one to report; what stays is what Unpin expects.
  (void)Unpin(pod, options.network_path);
  return Annotate(status, "pin namespaces");
}

absl::Status PinTable::Unpin(const std::string& pod, const std::string& network_path) const {
  if (!network_path.empty()) RETURN_IF_ERROR(internal::UnpinFile(network_path));
  BERTH_FAILPOINT(unpin_after_network);
  return OnPrivateThread([&]() -> absl::Status {
    RETURN_IF_ERROR(EnterMountNamespace(ns_.get()));
    return UnpinInTable(absl::StrCat("/", pod));
  });
}

absl::StatusOr<PodNamespaces> PinTable::OpenPod(const std::string& pod,
                                                const std::string& network_path) const {
  absl::StatusOr<PodNamespaces> opened = OpenOnThread(ns_.get(), absl::StrCat("/", pod));
  if (IsErrno(opened.status(), ENOENT)) return NotPinned(pod);
  if (!opened.ok()) return Annotate(opened.status(), absl::StrCat("open namespaces of ", pod));
  if (network_path.empty()) return opened;
  ASSIGN_OR_RETURN(const bool pinned, internal::IsPinned(network_path));
  if (!pinned) return NotPinned(absl::StrCat(pod, " at ", network_path));
  ASSIGN_OR_RETURN(opened->net, os::Open(network_path, O_RDONLY));
  return opened;
}

bool IsPinnedNamespace(const std::string& path) {
  return !path.empty() && internal::IsPinned(path).value_or(false);
}

absl::StatusOr<PodNamespaces> OpenOldPin(const std::string& pin_path) {
  ASSIGN_OR_RETURN(const bool pinned, internal::IsPinned(pin_path));
  if (!pinned) return NotPinned(pin_path);
  ASSIGN_OR_RETURN(const UniqueFd pin, Open(pin_path, O_RDONLY));
  return OpenOnThread(pin.get(), "");
}

absl::Status UnpinOldPin(const std::string& pin_path) { return internal::UnpinFile(pin_path); }

}  // namespace berth::os

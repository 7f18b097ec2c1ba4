#include "tests/bench/floor.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "tests/bench/guarded_paths.h"

namespace berth::bench {
namespace {

constexpr unsigned long kQuiet = MS_NOSUID | MS_NODEV | MS_NOEXEC;

void Must(bool ok) {
  if (!ok) _exit(111);
}

// What a container of the product has by default (sandbox/spec_security.cc).
constexpr uint32_t kBounding = 0xa80425fb;

long Clone3(clone_args* args) { return syscall(SYS_clone3, args, sizeof *args); }

}  // namespace

void Floor::MountAll() const {
  for (const char* dir : {"proc", "sys", "dev", "etc"}) (void)mkdir(dir, 0755);  // may be there
  Must(mount("proc", "proc", "proc", kQuiet, nullptr) == 0);
  Must(mount("sysfs", "sys", "sysfs", kQuiet | MS_RDONLY, nullptr) == 0);
  Must(mount("tmpfs", "dev", "tmpfs", MS_NOSUID, "mode=755,size=64k") == 0);
  Must(mkdir("dev/pts", 0755) == 0 && mkdir("dev/shm", 01777) == 0 &&
       mkdir("dev/mqueue", 0755) == 0);
  Must(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
             "newinstance,ptmxmode=0666,mode=0620,gid=5") == 0);
  Must(mount("shm", "dev/shm", "tmpfs", kQuiet, "mode=1777,size=64m") == 0);
  Must(mount("mqueue", "dev/mqueue", "mqueue", kQuiet, nullptr) == 0);
  for (const char* file : {"etc/hosts", "etc/hostname", "etc/resolv.conf"}) {
    Must(mknod(file, S_IFREG | 0644, 0) == 0 || errno == EEXIST);
    Must(mount((work_ + "/file").c_str(), file, nullptr, MS_BIND, nullptr) == 0);
  }
  const struct {
    const char* name;
    unsigned major, minor;
  } devices[] = {{"dev/null", 1, 3},   {"dev/zero", 1, 5},    {"dev/full", 1, 7},
                 {"dev/random", 1, 8}, {"dev/urandom", 1, 9}, {"dev/tty", 5, 0}};
  for (const auto& d : devices) {
    Must(mknod(d.name, S_IFCHR | 0666, makedev(d.major, d.minor)) == 0);
  }
  const char* const links[][2] = {{"/proc/self/fd", "dev/fd"},
                                  {"/proc/self/fd/0", "dev/stdin"},
                                  {"/proc/self/fd/1", "dev/stdout"},
                                  {"/proc/self/fd/2", "dev/stderr"},
                                  {"pts/ptmx", "dev/ptmx"}};
  for (const auto& link : links) Must(symlink(link[0], link[1]) == 0);
}

void Floor::Confine() const {
  for (const char* path : kMasked) {
    struct stat st;
    if (stat(path, &st) != 0) continue;
    Must(S_ISDIR(st.st_mode) ? mount("tmpfs", path, "tmpfs", kQuiet | MS_RDONLY, nullptr) == 0
                             : mount("/dev/null", path, nullptr, MS_BIND, nullptr) == 0);
  }
  for (const char* path : kReadonly) {
    if (access(path, F_OK) != 0) continue;
    Must(mount(path, path, nullptr, MS_BIND | MS_REC, nullptr) == 0);
    Must(mount(path, path, nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY | kQuiet, nullptr) == 0);
  }
  Must(setsid() >= 0);
  for (unsigned cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; ++cap) {
    if (((kBounding >> cap) & 1) == 0) Must(prctl(PR_CAPBSET_DROP, cap) == 0);
  }
  Must(syscall(SYS_setgroups, 0, nullptr) == 0 && syscall(SYS_setresgid, 0, 0, 0) == 0 &&
       syscall(SYS_setresuid, 0, 0, 0) == 0);
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {{uint32_t{kBounding}, uint32_t{kBounding}, 0}, {0, 0, 0}};
  Must(syscall(SYS_capset, &header, data) == 0);
  Must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  const sock_fprog program = {static_cast<uint16_t>(filter_.size() / sizeof(sock_filter)),
                              reinterpret_cast<sock_filter*>(const_cast<char*>(filter_.data()))};
  Must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0);
}

void Floor::Child(int report_fd) const {
  (void)report_fd;  // close-on-exec: its end tells the parent
  const std::string options =
      absl::StrCat("lowerdir=", lower_, ",upperdir=", work_, "/upper,workdir=", work_,
                   "/work,redirect_dir=off,metacopy=off,index=off,volatile");
  const std::string root = work_ + "/root";
  Must(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0);
  Must(mount("overlay", root.c_str(), "overlay", 0, options.c_str()) == 0);
  Must(chdir(root.c_str()) == 0);
  umask(0);
  MountAll();
  Must(syscall(SYS_pivot_root, ".", ".") == 0);
  Must(umount2(".", MNT_DETACH) == 0);
  Must(sethostname("floor", 5) == 0);
  Confine();
  char* const argv[] = {const_cast<char*>("busybox"), const_cast<char*>("sleep"),
                        const_cast<char*>("100000"), nullptr};
  char* const env[] = {nullptr};
  execve("/bin/busybox", argv, env);
  _exit(112);
}

bool Floor::CreateStart() {
  for (const char* dir : {"/upper", "/work", "/root"}) {
    if (mkdir((work_ + dir).c_str(), 0755) != 0 && errno != EEXIST) return false;
  }
  if (mknod((work_ + "/file").c_str(), S_IFREG | 0644, 0) != 0 && errno != EEXIST) return false;
  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) return false;
  clone_args args{};
  args.flags =
      CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd_);
  args.exit_signal = SIGCHLD;
  const long pid = Clone3(&args);
  if (pid == 0) Child(report[1]);
  close(report[1]);
  char byte;
  const ssize_t n = pid < 0 ? -1 : read(report[0], &byte, 1);  // EOF: execve closed it
  close(report[0]);
  pid_ = static_cast<pid_t>(pid);
  siginfo_t info{};
  return n == 0 &&
         waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == 0;
}

bool Floor::Exec() {
  const pid_t outer = fork();
  if (outer == 0) {
    Must(setns(pidfd_,
               CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP) == 0);
    const pid_t inner = vfork();
    if (inner == 0) {
      char* const argv[] = {const_cast<char*>("busybox"), const_cast<char*>("true"), nullptr};
      char* const env[] = {nullptr};
      execve("/bin/busybox", argv, env);
      _exit(112);
    }
    int status = 0;
    Must(waitpid(inner, &status, 0) == inner);
    _exit(WEXITSTATUS(status));
  }
  int status = 0;
  return waitpid(outer, &status, 0) == outer && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool Floor::StopRemove() {
  if (kill(pid_, SIGKILL) != 0 || waitpid(pid_, nullptr, 0) != pid_) return false;
  close(pidfd_);
  absl::StatusOr<os::UniqueFd> dir = os::Open(work_, O_RDONLY | O_DIRECTORY);
  return dir.ok() && os::RemoveTree(dir->get(), "upper").ok() &&
         os::RemoveTree(dir->get(), "work").ok();
}

}  // namespace berth::bench

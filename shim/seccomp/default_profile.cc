#include <linux/capability.h>
#include <sched.h>
#include <sys/socket.h>

#include <algorithm>

#include "absl/strings/str_split.h"
#include "shim/seccomp/profile.h"

namespace berth::shim::seccomp {
namespace {

constexpr Verdict kAllow{Action::kAllow, 0};

// What any container may call, by what it is for. io_uring is absent on purpose, and so are keyring
// calls, userfaultfd, kexec and swap: their attack surface is large and they know no namespace.
constexpr const char* kAlways[] = {
    // Files and paths.
    "access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 "
    "faccessat faccessat2 fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown "
    "fchown32 fchownat fcntl fcntl64 fdatasync flock fstat fstat64 fstatat64 fstatfs fstatfs64 "
    "fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 ioctl lchown lchown32 link "
    "linkat _llseek lseek lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat "
    "open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read "
    "readahead "
    "readlink readlinkat readv rename renameat renameat2 rmdir sendfile sendfile64 splice stat "
    "stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range syncfs tee truncate "
    "truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write "
    "writev cachestat listmount statmount",
    // Extended attributes.
    "fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr "
    "listxattrat llistxattr lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat",
    // Waiting for files.
    "epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait "
    "epoll_wait_old eventfd eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1 "
    "inotify_rm_watch _newselect poll ppoll ppoll_time64 pselect6 pselect6_time64 select signalfd "
    "signalfd4",
    // Asynchronous I/O of the old kind.
    "io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit",
    // Memory.
    "brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 "
    "mlockall mmap mmap2 mprotect mremap mseal msync munlock munlockall munmap pkey_alloc "
    "pkey_free "
    "pkey_mprotect remap_file_pages",
    // Processes and threads. clone and clone3 are below.
    "execve execveat exit exit_group fork getpgid getpgrp getpid getppid getsid gettid "
    "get_robust_list get_thread_area pause pidfd_open pidfd_send_signal prctl process_mrelease "
    "restart_syscall rseq setpgid setsid set_robust_list set_thread_area set_tid_address "
    "uretprobe vfork wait4 waitid waitpid",
    // Kernels before 4.8 let ptrace slip out of seccomp; Berth starts on none of those.
    "process_vm_readv process_vm_writev ptrace",
    // Scheduling and limits.
    "getcpu getpriority getrlimit getrusage ioprio_get ioprio_set prlimit64 sched_getaffinity "
    "sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler "
    "sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr "
    "sched_setparam sched_setscheduler sched_yield setpriority setrlimit ugetrlimit",
    // Locks between threads.
    "futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake",
    // Signals.
    "kill rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend "
    "rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack sigprocmask sigreturn "
    "tgkill tkill",
    // Time. The kernel asks for CAP_SYS_TIME where an adjtime call would set something.
    "adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime "
    "clock_gettime64 clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep "
    "setitimer time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 "
    "timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 "
    "timerfd_settime timerfd_settime64 times",
    // Sockets; socket itself is below.
    "accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg "
    "recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall "
    "socketpair",
    // IPC objects.
    "ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend "
    "mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop "
    "semtimedop_time64 shmat shmctl shmdt shmget",
    // Users, groups, capabilities.
    "capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 "
    "getresgid getresgid32 getresuid getresuid32 getuid getuid32 setfsgid setfsgid32 setfsuid "
    "setfsuid32 setgid setgid32 setgroups setgroups32 setregid setregid32 setresgid setresgid32 "
    "setresuid setresuid32 setreuid setreuid32 setuid setuid32",
    // Confining oneself further.
    "landlock_add_rule landlock_create_ruleset landlock_restrict_self lsm_get_self_attr "
    "lsm_list_modules lsm_set_self_attr seccomp",
    // The rest.
    "getrandom sysinfo uname",
};

constexpr const char* kX86Calls = "arch_prctl modify_ldt";
constexpr const char* kArmCalls =
    "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2";

struct CapabilityCalls {
  int capability;
  const char* names;
};
constexpr CapabilityCalls kWithCapability[] = {
    {CAP_BPF, "bpf"},
    {CAP_DAC_READ_SEARCH, "open_by_handle_at"},
    {CAP_PERFMON, "perf_event_open"},
    {CAP_SYSLOG, "syslog"},
    {CAP_SYS_ADMIN,
     "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount "
     "mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname "
     "sethostname setns syslog umount umount2 unshare"},
    {CAP_SYS_BOOT, "reboot"},
    {CAP_SYS_CHROOT, "chroot"},
    {CAP_SYS_MODULE, "delete_module finit_module init_module"},
    {CAP_SYS_NICE, "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"},
    {CAP_SYS_PACCT, "acct"},
    {CAP_SYS_PTRACE, "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"},
    {CAP_SYS_RAWIO, "ioperm iopl"},
    {CAP_SYS_TIME, "clock_settime clock_settime64 settimeofday stime"},
    {CAP_SYS_TTY_CONFIG, "vhangup"},
};

// Each is one value of personality(2): Linux, 32-bit Linux (PER_LINUX32), both with UNAME26, and
// the query that changes nothing.
constexpr uint64_t kPersonalities[] = {0, 0x8, 0x20000, 0x20008, 0xffffffff};

constexpr uint64_t kNamespaceFlags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                                     CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP;

void Allow(const char* names, Profile* profile) {
  profile->rules.push_back({absl::StrSplit(names, ' '), kAllow, {}});
}

void AllowIf(const char* name, Condition condition, Profile* profile) {
  profile->rules.push_back({{name}, kAllow, {condition}});
}

// socket(2) for every address family but AF_ALG (38: kernel crypto, a history of holes) and
// AF_VSOCK (40: the hypervisor, past every network policy). Written as allowed values of the low
// 32 bits, all that the kernel looks at: compared as 64 bits, 40 with anything in the upper half
// would pass as "greater than 40". The first family comes in runs that share their upper bits.
void AllowSockets(Profile* profile) {
  static_assert(AF_ALG == 38 && AF_VSOCK == 40);
  struct Run {
    uint32_t first, size;
  };
  constexpr Run kRuns[] = {{0, 32}, {32, 4}, {36, 2}, {39, 1}, {41, 1}, {42, 2}, {44, 4}, {48, 16}};
  for (const Run& run : kRuns) {
    AllowIf("socket", {0, Comparison::kMaskedEqual, run.first, UINT32_MAX - (run.size - 1)},
            profile);
  }
  for (int bit = 6; bit < 32; ++bit) {  // 64 and above: the kernel refuses those itself
    const uint64_t mask = uint64_t{1} << bit;
    AllowIf("socket", {0, Comparison::kMaskedEqual, mask, mask}, profile);
  }
}

// Without CAP_SYS_ADMIN a namespace cannot be made by clone. clone3 has its flags in memory, where
// no filter sees them: it is absent, so that a libc falls back to clone.
void RestrictClone(Profile* profile) {
  AllowIf("clone", {0, Comparison::kMaskedEqual, 0, kNamespaceFlags}, profile);
  profile->rules.push_back({{"clone3"}, {Action::kErrno, ENOSYS}, {}});
}

bool IsArm(Architecture a) { return a == Architecture::kArm64 || a == Architecture::kArm; }

}  // namespace

Profile DefaultProfile(uint64_t bounding, const std::vector<Architecture>& architectures) {
  Profile profile;
  profile.architectures = architectures;
  for (const char* names : kAlways) Allow(names, &profile);
  const bool arm = std::any_of(architectures.begin(), architectures.end(), IsArm);
  Allow(arm ? kArmCalls : kX86Calls, &profile);
  AllowSockets(&profile);
  for (const uint64_t value : kPersonalities) {
    AllowIf("personality", {0, Comparison::kEqual, value, 0}, &profile);
  }
  for (const CapabilityCalls& group : kWithCapability) {
    if ((bounding >> group.capability & 1) != 0) Allow(group.names, &profile);
  }
  if ((bounding >> CAP_SYS_ADMIN & 1) == 0) RestrictClone(&profile);
  return profile;
}

}  // namespace berth::shim::seccomp

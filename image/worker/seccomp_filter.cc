// The worker's seccomp filter, assembled by hand: libseccomp lives in shim/seccomp only, and this
// is one list. See seccomp(2) and the kernel's Documentation/userspace-api/seccomp_filter.rst.
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <vector>

#include "base/os/errno_status.h"
#include "image/worker/confine.h"

namespace berth::worker {
namespace {

#if defined(__x86_64__)
constexpr uint32_t kArch = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArch = AUDIT_ARCH_AARCH64;
#else
#error "seccomp: this architecture is not known"
#endif

// What both kinds of process need: bytes through open fds, memory, threads, time. Seen to be
// needed, plus what glibc's malloc and threads may call.
constexpr int kShared[] = {
    SYS_read,
    SYS_write,
    SYS_pread64,
    SYS_writev,
    SYS_lseek,
    SYS_close,
    SYS_fstat,
    SYS_newfstatat,
    SYS_ppoll,
    SYS_fcntl,
    SYS_munmap,
    SYS_mremap,
    SYS_madvise,
    SYS_brk,
    SYS_futex,
    SYS_clone,
    SYS_set_robust_list,
    SYS_rseq,
    SYS_sched_yield,
    SYS_rt_sigprocmask,
    SYS_rt_sigaction,
    SYS_rt_sigreturn,
    SYS_sigaltstack,
    SYS_restart_syscall,
    SYS_getpid,
    SYS_gettid,
    SYS_tgkill,
    SYS_exit,
    SYS_exit_group,
    SYS_clock_gettime,
    SYS_getrandom,
    SYS_eventfd2,
#if defined(SYS_poll)
    SYS_poll,
#endif
};

// Files are made; Landlock says where.
constexpr int kUnpacking[] = {
    SYS_wait4,  // for the fetching process
    SYS_pwrite64,   SYS_ftruncate, SYS_getdents64, SYS_openat,    SYS_openat2,   SYS_statx,
    SYS_readlinkat, SYS_mkdirat,   SYS_mknodat,    SYS_symlinkat, SYS_linkat,    SYS_unlinkat,
    SYS_fchmod,     SYS_fchown,    SYS_fchownat,   SYS_fsetxattr, SYS_utimensat,
};

// Sockets are made, and files opened for reading; see AllowSocketsAndReading for those.
constexpr int kFetching[] = {
    SYS_readv,
    SYS_getdents64,
    SYS_faccessat,
    SYS_faccessat2,
    SYS_connect,
    SYS_bind,  // netlink, which the resolver asks for addresses
    SYS_getsockname,
    SYS_getpeername,
    SYS_getsockopt,
    SYS_setsockopt,
    SYS_sendto,
    SYS_recvfrom,
    SYS_sendmsg,
    SYS_recvmsg,
    SYS_sendmmsg,
    SYS_shutdown,
    SYS_pipe2,
    SYS_uname,
    SYS_sysinfo,
    SYS_getuid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getegid,
    SYS_clock_nanosleep,
    SYS_sched_getaffinity,
#if defined(SYS_access)
    SYS_access,
    SYS_stat,
    SYS_select,
#endif
};

// Stack bounds, and whether a pointer can be read.
constexpr int kAllowedToSanitizers[] = {
    SYS_sched_getaffinity,
    SYS_pipe2,
    SYS_prlimit64,
    SYS_process_vm_readv,
#if defined(SYS_pipe)
    SYS_pipe,
#endif
};

class Program {
 public:
  void Load(size_t offset) {
    code_.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<uint32_t>(offset)));
  }
  void Mask(uint32_t bits) { code_.push_back(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, bits)); }
  void Return(uint32_t action) { code_.push_back(BPF_STMT(BPF_RET | BPF_K, action)); }
  // Runs the next `count` instructions only when the loaded value equals `value`.
  void SkipUnlessEqual(uint32_t value, uint8_t count) {
    code_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, count));
  }
  void SkipIfEqual(uint32_t value, uint8_t count) {
    code_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, count, 0));
  }
  void SkipUnlessAnyBit(uint32_t bits, uint8_t count) {
    code_.push_back(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, count));
  }
  void SkipIfAnyBit(uint32_t bits, uint8_t count) {
    code_.push_back(BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, count, 0));
  }
  sock_fprog Finish() { return {static_cast<unsigned short>(code_.size()), code_.data()}; }

 private:
  std::vector<sock_filter> code_;
};

constexpr uint32_t kRefuse = SECCOMP_RET_ERRNO | EPERM;
constexpr size_t kNumber = offsetof(seccomp_data, nr);
// Low half of an argument on the little-endian machines above.
constexpr size_t Argument(int index) {
  return offsetof(seccomp_data, args) + sizeof(uint64_t) * static_cast<size_t>(index);
}

// The rest of a socket's type argument are flags.
constexpr uint32_t kSocketTypeBits = 0xf;

void AllowSocketsAndReading(Program* p) {
  p->SkipUnlessEqual(SYS_openat, 4);
  p->Load(Argument(2));
  p->SkipIfAnyBit(O_ACCMODE | O_CREAT | O_TRUNC, 1);
  p->Return(SECCOMP_RET_ALLOW);
  p->Return(kRefuse);
  // No unix sockets: those of the machine's daemons are out of reach.
  p->SkipUnlessEqual(SYS_socket, 14);
  p->Load(Argument(0));
  p->SkipIfEqual(AF_NETLINK, 8);
  p->SkipIfEqual(AF_INET, 1);
  p->SkipUnlessEqual(AF_INET6, 5);
  p->Load(Argument(1));
  p->Mask(kSocketTypeBits);
  p->SkipIfEqual(SOCK_STREAM, 1);
  p->SkipUnlessEqual(SOCK_DGRAM, 1);
  p->Return(SECCOMP_RET_ALLOW);
  p->Return(kRefuse);
  p->Load(Argument(2));
  p->SkipUnlessEqual(NETLINK_ROUTE, 1);
  p->Return(SECCOMP_RET_ALLOW);
  p->Return(kRefuse);
  // A pair of datagram sockets could send to any socket in the file system.
  p->SkipUnlessEqual(SYS_socketpair, 5);
  p->Load(Argument(1));
  p->Mask(kSocketTypeBits);
  p->SkipUnlessEqual(SOCK_STREAM, 1);
  p->Return(SECCOMP_RET_ALLOW);
  p->Return(kRefuse);
  p->SkipUnlessEqual(SYS_ioctl, 5);
  p->Load(Argument(1));
  p->SkipIfEqual(FIONREAD, 1);
  p->SkipUnlessEqual(FIONBIO, 1);
  p->Return(SECCOMP_RET_ALLOW);
  p->Return(kRefuse);
}

Program Assemble(Role role) {
  Program p;
  p.Load(offsetof(seccomp_data, arch));
  p.SkipIfEqual(kArch, 1);
  p.Return(SECCOMP_RET_KILL_PROCESS);
  p.Load(kNumber);
  // clone3's flags are in memory, out of a filter's sight: glibc falls back to clone.
  p.SkipUnlessEqual(SYS_clone3, 1);
  p.Return(SECCOMP_RET_ERRNO | ENOSYS);
  // Threads of this process, nothing else.
  p.SkipUnlessEqual(SYS_clone, 4);
  p.Load(Argument(0));
  p.SkipUnlessAnyBit(CLONE_THREAD, 1);
  p.Return(SECCOMP_RET_ALLOW);
  p.Return(kRefuse);
  // No page becomes executable any more: every library is mapped by now.
  for (const int number : {SYS_mmap, SYS_mprotect}) {
    p.SkipUnlessEqual(static_cast<uint32_t>(number), 4);
    p.Load(Argument(2));
    p.SkipIfAnyBit(PROT_EXEC, 1);
    p.Return(SECCOMP_RET_ALLOW);
    p.Return(kRefuse);
  }
  const auto allow = [&p](int number) {
    p.SkipUnlessEqual(static_cast<uint32_t>(number), 1);
    p.Return(SECCOMP_RET_ALLOW);
  };
  for (const int number : kShared) allow(number);
  if (role == Role::kUnpack) {
    for (const int number : kUnpacking) allow(number);
  } else {
    AllowSocketsAndReading(&p);
    for (const int number : kFetching) allow(number);
  }
  if (kSanitized) {
    for (const int number : kAllowedToSanitizers) allow(number);
  }
  p.Return(kRefuse);
  return p;
}

}  // namespace

absl::Status InstallSeccompFilter(Role role) {
  Program program = Assemble(role);
  sock_fprog code = program.Finish();
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &code) != 0) {
    return os::ErrnoStatus(errno, "confine the worker: install the seccomp filter");
  }
  return absl::OkStatus();
}

}  // namespace berth::worker

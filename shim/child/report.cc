#include "shim/child/report.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace berth::shim::child {

Words& Words::Add(const char* text) {
  const size_t room = sizeof text_ - 1 - size_;
  size_t n = strlen(text);
  if (n > room) n = room;
  memcpy(text_ + size_, text, n);
  size_ += n;
  text_[size_] = '\0';
  return *this;
}

Words& Words::AddNumber(uint64_t value) {
  char digits[21];
  char* p = digits + sizeof digits - 1;
  *p = '\0';
  do {
    *--p = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  return Add(p);
}

void Report(int report_fd, ChildStep step, int error, const char* detail) {
  ChildFailure failure;
  memset(&failure, 0, sizeof failure);
  failure.step = step;
  failure.error = error;
  size_t n = strlen(detail);
  if (n > sizeof failure.detail - 1) n = sizeof failure.detail - 1;
  memcpy(failure.detail, detail, n);
  // Below PIPE_BUF: whole or not at all. A reader that is gone (EPIPE) needs no answer.
  while (write(report_fd, &failure, sizeof failure) < 0 && errno == EINTR) {
  }
}

void Fail(int report_fd, ChildStep step, int error, const char* detail) {
  Report(report_fd, step, error, detail);
  _exit(127);
}

void WaitAtGate(int gate_fd) {
  char byte;
  ssize_t n;
  do {
    n = read(gate_fd, &byte, 1);
  } while (n < 0 && errno == EINTR);
  if (n != 1) _exit(127);  // who would have opened it is dead
}

void ResetSignals() {
  struct {  // the kernel's struct sigaction
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)();
    unsigned long mask;
  } action = {};
  // SIGKILL and SIGSTOP refuse, rightly.
  for (int sig = 1; sig <= 64; ++sig) (void)syscall(SYS_rt_sigaction, sig, &action, nullptr, 8);
  const unsigned long none = 0;
  (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, nullptr, sizeof none);
}

const char* StepName(uint32_t step) {
  switch (step) {
    case kStepReady:
      return "ready";
    case kStepCgroup:
      return "join cgroup";
    case kStepNamespaces:
      return "enter namespaces";
    case kStepOomScore:
      return "set oom_score_adj";
    case kStepHostname:
      return "set hostname";
    case kStepRoot:
      return "attach root";
    case kStepMount:
      return "mount";
    case kStepDevice:
      return "make device";
    case kStepSysctl:
      return "set sysctl";
    case kStepRuntimeHooks:
      return "wait for hooks";
    case kStepHook:
      return "run hook";
    case kStepPivot:
      return "pivot root";
    case kStepMask:
      return "mask path";
    case kStepReadonly:
      return "make path read-only";
    case kStepStdio:
      return "set up stdio";
    case kStepSession:
      return "make session";
    case kStepTerminal:
      return "make terminal";
    case kStepRlimit:
      return "set rlimit";
    case kStepUser:
      return "set user";
    case kStepCapabilities:
      return "set capabilities";
    case kStepNoNewPrivs:
      return "set no_new_privs";
    case kStepSeccomp:
      return "load seccomp filter";
    case kStepListener:
      return "hand seccomp listener to its agent";
    case kStepCwd:
      return "change to working directory";
    case kStepGate:
      return "wait for start";
    case kStepExec:
      return "exec";
    case kStepLabel:
      return "set security label";
    case kStepScheduler:
      return "set scheduler";
    case kStepIoPriority:
      return "set I/O priority";
    case kStepAffinity:
      return "set CPU affinity";
    case kStepMemoryPolicy:
      return "set memory policy";
    case kStepPersonality:
      return "set personality";
    case kStepDomainname:
      return "set domainname";
    case kStepTimeOffsets:
      return "set time offsets";
    default:
      return "unknown step";
  }
}

}  // namespace berth::shim::child

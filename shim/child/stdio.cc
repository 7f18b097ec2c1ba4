#include "shim/child/stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/child/mount_calls.h"
#include "shim/child/report.h"

namespace berth::shim::child {
namespace {

constexpr int kReport = 3;
constexpr int kGate = 4;
constexpr int kFirstLifted = 64;  // above every number that is a target

}  // namespace

ChildFds ArrangeFds(const StdioSources& sources) {
  int report = sources.report;
  const auto check = [&report](int result, const char* what) {
    if (result < 0) Fail(report, kStepStdio, errno, what);
    return result;
  };
  // Lift all above the targets first, so that no dup2 overwrites one that is still needed.
  const auto lift = [&check](int fd) {
    return check(fcntl(fd, F_DUPFD_CLOEXEC, kFirstLifted), "duplicate");
  };
  report = lift(report);
  const bool has_terminal = sources.terminal >= 0;
  int in = has_terminal ? sources.terminal : sources.in;
  if (in < 0) {
    in = OpenNull(sources.root, false);
    // A root without /dev/null: the shim's own standard input is the host's null device.
    if (in < 0) in = STDIN_FILENO;
  }
  in = lift(in);
  const int out = lift(has_terminal ? sources.terminal : sources.out);
  const int err = lift(has_terminal ? sources.terminal : sources.err);
  const int gate = sources.gate < 0 ? -1 : lift(sources.gate);
  check(dup2(in, 0), "stdin");
  check(dup2(out, 1), "stdout");
  check(dup2(err, 2), "stderr");
  check(dup3(report, kReport, O_CLOEXEC), "report pipe");
  report = kReport;
  if (gate >= 0) check(dup3(gate, kGate, O_CLOEXEC), "gate");
  const unsigned int first = gate >= 0 ? kGate + 1 : kReport + 1;
  if (syscall(SYS_close_range, first, ~0U, 0U) != 0) Fail(report, kStepStdio, errno, "close");
  return {kReport, gate >= 0 ? kGate : -1};
}

}  // namespace berth::shim::child

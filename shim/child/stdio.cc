#include "shim/child/stdio.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/child/mount_calls.h"
#include "shim/child/report.h"

namespace berth::shim::child {
namespace {

constexpr int kOwn = 3;           // the report, the gate, the state
constexpr int kFirstLifted = 64;  // above every number that is a target

}  // namespace

ChildFds ArrangeFds(const StdioSources& sources) {
  int report = sources.report;
  const int first_lifted = sources.preserved + kFirstLifted;
  const auto check = [&report](int result, const char* what) {
    if (result < 0) Fail(report, kStepStdio, errno, what);
    return result;
  };
  // Lift all above the targets first, so that no dup2 overwrites one that is still needed.
  const auto lift = [&](int fd) {
    return check(fcntl(fd, F_DUPFD_CLOEXEC, first_lifted), "duplicate");
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
  const int state = sources.state < 0 ? -1 : lift(sources.state);
  check(dup2(in, 0), "stdin");
  check(dup2(out, 1), "stdout");
  check(dup2(err, 2), "stderr");
  int next = kOwn + sources.preserved;
  const auto put = [&](int fd, const char* what) {
    return fd < 0 ? -1 : check(dup3(fd, next++, O_CLOEXEC), what);
  };
  report = put(report, "report pipe");
  const ChildFds placed = {report, put(gate, "gate"), put(state, "state")};
  if (syscall(SYS_close_range, static_cast<unsigned int>(next), ~0U, 0U) != 0) {
    Fail(report, kStepStdio, errno, "close");
  }
  return placed;
}

}  // namespace berth::shim::child

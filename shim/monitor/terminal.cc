#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "shim/monitor/loop.h"

namespace berth::shim::monitor {
namespace {

using protocol::Code;
using protocol::Op;

// A terminal gives at most a page at a time; the loop's other work comes after so many.
constexpr int kReadsPerTurn = 16;
// The master stays readable (as hung up) while no process has the slave open, which may be until
// the next one opens /dev/console: only what changes is an event.
constexpr uint32_t kEvents = EPOLLIN | EPOLLET;

}  // namespace

bool Monitor::ListenToTerminal() {
  return fcntl(state_.terminal_fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0 &&
         Listen(state_.terminal_fd, kEvents, Source::kTerminal, 0);
}

// An event at once when there is something to read, or nobody who could write.
void Monitor::RearmTerminal() {
  if (state_.terminal_fd < 0) return;
  epoll_event event{};
  event.events = kEvents;
  event.data.u64 = static_cast<uint64_t>(Source::kTerminal) << 32;
  (void)epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, state_.terminal_fd, &event);  // it is in there
}

void Monitor::OnTerminal() {
  if (state_.terminal_fd < 0) return;
  for (int i = 0; i < kReadsPerTurn; ++i) {
    switch (log_.Pump(Stream::kStdout, state_.terminal_fd)) {
      case LogWriter::Pumped::kEmpty:
        return;
      case LogWriter::Pumped::kData:
        NoteOutput();
        break;
      case LogWriter::Pumped::kEnd:  // EIO: all is read, and no process has it open
        if (stage_ != Stage::kDraining) return;
        StopListening(&state_.terminal_fd);
        return CheckDrained();
    }
  }
  RearmTerminal();
}

void Monitor::HandleResize(int index, uint32_t size) {
  if (stage_ > Stage::kRunning) return AnswerCode(index, Op::kResize, Code::kWrongPhase);
  if (state_.terminal_fd < 0) return AnswerCode(index, Op::kResize, Code::kNoTerminal);
  winsize wanted{};
  wanted.ws_row = static_cast<uint16_t>(size >> 16);
  wanted.ws_col = static_cast<uint16_t>(size);
  if (ioctl(state_.terminal_fd, TIOCSWINSZ, &wanted) != 0) {
    return AnswerError(index, Op::kResize, "resize terminal", errno);
  }
  AnswerCode(index, Op::kResize, Code::kOk);
}

}  // namespace berth::shim::monitor

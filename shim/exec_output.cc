#include "shim/exec_output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>

#include "base/os/errno_status.h"
#include "base/status_macros.h"

namespace berth::shim {

absl::StatusOr<OutputPipes> OutputPipes::Make(size_t limit) {
  OutputPipes pipes;
  pipes.limit_ = limit;
  for (Stream& stream : pipes.streams_) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return os::ErrnoStatus(errno, "exec: make pipe");
    stream.read_end.reset(ends[0]);
    stream.write_end.reset(ends[1]);
    // Only ours: the other end's flags are the program's business.
    if (fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) return os::ErrnoStatus(errno, "exec: pipe");
  }
  return pipes;
}

std::vector<int> OutputPipes::Fds(int arguments) const {
  return {arguments, streams_[0].write_end.get(), streams_[1].write_end.get()};
}

void OutputPipes::CloseWriteEnds() {
  for (Stream& stream : streams_) stream.write_end.reset();
}

absl::Status OutputPipes::ReadUntilReadable(int fd, Deadline deadline, const Cancel* cancel) {
  const int cancelled = cancel == nullptr ? -1 : cancel->fd();
  for (;;) {
    ASSIGN_OR_RETURN(const bool readable, ReadSome(fd, cancelled, deadline));
    if (readable) return absl::OkStatus();
    if (cancel != nullptr && cancel->cancelled()) {
      return absl::CancelledError("exec: the caller went away");
    }
    if (deadline.Expired()) return absl::DeadlineExceededError("exec: shim does not answer");
  }
}

absl::Status OutputPipes::ReadRest(Deadline deadline) {
  while (streams_[0].read_end.valid() || streams_[1].read_end.valid()) {
    RETURN_IF_ERROR(ReadSome(-1, -1, deadline).status());
    // Looked at last: what was written before the exit is read even with no time to wait.
    if (deadline.Expired()) break;
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> OutputPipes::ReadSome(int extra, int cancelled, Deadline deadline) {
  pollfd fds[4] = {{extra, POLLIN, 0},
                   {streams_[0].read_end.get(), POLLIN, 0},
                   {streams_[1].read_end.get(), POLLIN, 0},
                   {cancelled, POLLIN, 0}};
  const int n = poll(fds, 4, deadline.PollMillis());
  if (n < 0 && errno != EINTR) return os::ErrnoStatus(errno, "exec: poll");
  if (n <= 0) return false;
  for (int i = 0; i < 2; ++i) {
    if (fds[i + 1].revents != 0) Read(&streams_[i]);
  }
  return fds[0].revents != 0;
}

void OutputPipes::Read(Stream* stream) {
  char chunk[64 << 10];
  const ssize_t n = read(stream->read_end.get(), chunk, sizeof chunk);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) {
    stream->read_end.reset();
    return;
  }
  const size_t room = limit_ - std::min(limit_, stream->data.size());
  stream->data.append(chunk, std::min(room, static_cast<size_t>(n)));
}

}  // namespace berth::shim

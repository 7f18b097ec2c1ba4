#include "base/os/run_program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/os/spawn.h"
#include "base/status_macros.h"

namespace berth::os {
namespace {

// A killed process is gone at once, unless the kernel holds it in a call that cannot be
// interrupted.
constexpr absl::Duration kPatienceWithTheDead = absl::Seconds(5);

struct Pipe {
  UniqueFd read;  // does not block
  UniqueFd write;
};

absl::StatusOr<Pipe> MakePipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe");
  Pipe made{UniqueFd(fds[0]), UniqueFd(fds[1])};
  if (fcntl(made.read.get(), F_SETFL, O_NONBLOCK) != 0) return ErrnoStatus(errno, "fcntl pipe");
  return made;
}

// What a program prints into one pipe.
class Stream {
 public:
  Stream(UniqueFd fd, size_t limit, std::string* text)
      : fd_(std::move(fd)), limit_(limit), text_(text) {}

  int fd() const { return fd_.get(); }
  bool overflowed() const { return overflowed_; }

  // Takes what is there, at most one buffer. False: nothing is there now, or the end.
  bool Take() {
    if (!fd_.valid()) return false;
    char buffer[16 << 10];
    const ssize_t n = read(fd_.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) return true;
    if (n < 0 && errno == EAGAIN) return false;
    if (n <= 0) {
      fd_.reset();
      return false;
    }
    const size_t room = std::min(limit_ - text_->size(), static_cast<size_t>(n));
    text_->append(buffer, room);
    overflowed_ = overflowed_ || room < static_cast<size_t>(n);
    return true;
  }

 private:
  UniqueFd fd_;
  const size_t limit_;
  std::string* const text_;
  bool overflowed_ = false;
};

absl::Status WaitForNews(const Child& child, const Stream& output, const Stream& errors,
                         Deadline deadline, bool* ended) {
  pollfd fds[3] = {
      {child.pidfd.get(), POLLIN, 0}, {output.fd(), POLLIN, 0}, {errors.fd(), POLLIN, 0}};
  if (poll(fds, 3, deadline.PollMillis()) < 0 && errno != EINTR) return ErrnoStatus(errno, "poll");
  *ended = (fds[0].revents & POLLIN) != 0;
  return absl::OkStatus();
}

absl::StatusOr<ProgramEnd> Follow(const Child& child, Stream* output, Stream* errors,
                                  Deadline deadline) {
  for (bool ended = false; !ended;) {
    RETURN_IF_ERROR(WaitForNews(child, *output, *errors, deadline, &ended));
    if (!ended) {
      (void)output->Take();  // poll comes back while there is more
      (void)errors->Take();
      if (deadline.Expired()) return ProgramEnd::kOutOfTime;
    }
    if (output->overflowed()) return ProgramEnd::kTooMuchOutput;
  }
  // What it printed before it ended is in the pipes. A child of it may print on for ever.
  while (!output->overflowed() && output->Take()) {
  }
  while (!errors->overflowed() && errors->Take()) {
  }
  return output->overflowed() ? ProgramEnd::kTooMuchOutput : ProgramEnd::kEnded;
}

// By number: the leader is our unreaped child, so the number is its group's and nobody else's.
void KillGroup(const Child& child) { (void)kill(-child.pid, SIGKILL); }

}  // namespace

absl::StatusOr<ProgramResult> RunProgram(const Program& program, Deadline deadline) {
  ASSIGN_OR_RETURN(const UniqueFd input, MemFdWith("input", program.input));
  ASSIGN_OR_RETURN(Pipe output_pipe, MakePipe());
  ASSIGN_OR_RETURN(Pipe errors_pipe, MakePipe());
  SpawnOptions spawn;
  spawn.path = program.path;
  spawn.argv = program.argv;
  spawn.env = program.env;
  spawn.fds = {{input.get(), 0}, {output_pipe.write.get(), 1}, {errors_pipe.write.get(), 2}};
  ASSIGN_OR_RETURN(const Child child, Spawn(spawn));
  output_pipe.write.reset();
  errors_pipe.write.reset();

  ProgramResult result;
  Stream output(std::move(output_pipe.read), program.max_output, &result.output);
  Stream errors(std::move(errors_pipe.read), program.max_errors, &result.errors);
  absl::StatusOr<ProgramEnd> end = Follow(child, &output, &errors, deadline);
  if (!end.ok() || *end != ProgramEnd::kEnded) KillGroup(child);
  absl::StatusOr<int> status = WaitChild(child, Deadline::After(kPatienceWithTheDead));
  if (!status.ok()) {
    LogWarning("a killed program does not end", {{"program", program.path}, {"pid", child.pid}});
  }
  RETURN_IF_ERROR(end.status());
  result.end = *end;
  result.status = status.ok() ? *status : 0;
  return result;
}

}  // namespace berth::os

// TerminalRelay: between the terminal that a user sits at and that of a container in the
// foreground. The user's is raw as long as the relay lives: keys, ^C too, are for the container's
// terminal to make sense of. A handle, and not thread-safe; it never blocks but in Drain.
#pragma once

#include <poll.h>
#include <termios.h>

#include <array>
#include <cstddef>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/os/unique_fd.h"

namespace berth::shim {

class TerminalRelay {
 public:
  // `in` and `out` are borrowed, and need not be terminals: pipes are copied as they are. One of
  // them that is a terminal gives the container's its size.
  static absl::StatusOr<TerminalRelay> Open(os::UniqueFd master, int in, int out);
  TerminalRelay(TerminalRelay&&) = default;
  TerminalRelay& operator=(TerminalRelay&&) = delete;
  ~TerminalRelay() = default;

  using PollSet = std::array<pollfd, 3>;
  // What to wait for, beside the caller's own.
  PollSet Wanted() const;
  void Copy(const PollSet& ready);
  // SIGWINCH: the user's terminal has another size.
  absl::Status Resize() const;
  // The process has ended: shows what it has written, at most until the deadline, which is when
  // something that it left behind keeps the terminal open.
  void Drain(Deadline deadline);

 private:
  class RawMode {
   public:
    static absl::StatusOr<RawMode> Enter(int terminal);
    RawMode(RawMode&& other) noexcept : terminal_(other.terminal_), before_(other.before_) {
      other.terminal_ = -1;
    }
    RawMode& operator=(RawMode&&) = delete;
    ~RawMode();

   private:
    RawMode(int terminal, const termios& before) : terminal_(terminal), before_(before) {}
    int terminal_;
    termios before_;
  };
  // As much as a pipe or a terminal that is ready takes at once (PIPE_BUF).
  struct Chunk {
    char data[4096];
    size_t begin = 0;
    size_t end = 0;
    bool empty() const { return begin == end; }
  };
  enum class Master { kData, kNothing, kNobody };

  TerminalRelay(os::UniqueFd master, int in, int out)
      : master_(std::move(master)), in_(in), out_(out) {}
  Master ReadMaster();
  void Show();
  void Type();

  os::UniqueFd master_;
  os::UniqueFd changed_;  // epoll: something has happened to the master
  os::UniqueFd nowhere_;  // /dev/null, once there is no one to show to
  int in_;                // -1: it has ended
  int out_;
  int size_of_ = -1;  // the user's terminal
  std::optional<RawMode> raw_;
  Chunk typed_;
  Chunk shown_;
};

}  // namespace berth::shim

// The master side of a container's terminal: how it comes from the child that made it, goes on to
// a console socket, and is resized. Thread-safe: no state.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/os/unique_fd.h"

namespace berth::shim {

struct WindowSize {
  uint16_t rows = 0;
  uint16_t columns = 0;
};

// A connected pair, {ours, the child's} (shim/child/terminal.h): over it a master comes.
absl::StatusOr<std::pair<os::UniqueFd, os::UniqueFd>> MakeConsoleSockets();

// The descriptor that comes next, close-on-exec. Unavailable: the other end was closed before.
// DataLoss: what came was no single descriptor. DeadlineExceeded.
absl::StatusOr<os::UniqueFd> ReceiveConsole(int socket, Deadline deadline);

// A connection to the listening stream socket at `path` (--console-socket): it can be handed to a
// child in place of a pair's end. The path may be longer than a socket address can hold.
absl::StatusOr<os::UniqueFd> ConnectConsole(const std::string& path);

// TIOCSWINSZ: the foreground process group gets SIGWINCH when it is a change.
absl::Status SetWindowSize(int terminal, WindowSize size);
absl::StatusOr<WindowSize> GetWindowSize(int terminal);

}  // namespace berth::shim

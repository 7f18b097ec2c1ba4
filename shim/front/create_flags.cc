#include "shim/front/create_flags.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/status_macros.h"
#include "shim/front/commands.h"

namespace berth::shim::front {
namespace {

constexpr int kMaxPreserved = 1024;

}  // namespace

absl::Status CheckPreserved(int64_t count) {
  if (count < 0 || count > kMaxPreserved) {
    return absl::InvalidArgumentError(absl::StrCat("--preserve-fds: out of range: ", count));
  }
  for (int fd = 3; fd < 3 + count; ++fd) {
    if (fcntl(fd, F_GETFD) < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("--preserve-fds ", count, ": descriptor ", fd, " is not open"));
    }
  }
  if (close_range(static_cast<unsigned>(3 + count), ~0U, CLOSE_RANGE_CLOEXEC) != 0) {
    return os::ErrnoStatus(errno, "mark descriptors");
  }
  return absl::OkStatus();
}

absl::Status CheckConsole(bool terminal, const std::string& socket, bool stays) {
  if (terminal && socket.empty() && !stays) {
    return absl::InvalidArgumentError(
        "process.terminal: needs --console-socket where the command does not stay in front");
  }
  if (!terminal && !socket.empty()) {
    return absl::InvalidArgumentError("--console-socket: process.terminal is not set");
  }
  return absl::OkStatus();
}

absl::StatusOr<CreateFlags> ParseCreateFlags(const Words& words, bool is_run) {
  ASSIGN_OR_RETURN(const Arguments arguments,
                   Arguments::Parse(words, {{"bundle", 'b'},
                                            {"console-socket"},
                                            {"pid-file"},
                                            {"preserve-fds"},
                                            {"no-pivot", 0, Flag::kSwitch},
                                            {"no-new-keyring", 0, Flag::kSwitch},
                                            {"detach", 'd', Flag::kSwitch},
                                            {"keep", 0, Flag::kSwitch},
                                            {"no-subreaper", 0, Flag::kSwitch}}));
  RETURN_IF_ERROR(arguments.Expect(1, 1));
  for (const char* name : {"detach", "keep", "no-subreaper"}) {
    if (!is_run && arguments.Has(name)) {
      return absl::InvalidArgumentError(absl::StrCat("--", name, ": belongs to run"));
    }
  }
  if (arguments.IsOn("no-pivot")) {
    return absl::UnimplementedError("--no-pivot: is not offered: a root that can be left is none");
  }
  CreateFlags flags;
  flags.request.id = arguments.words()[0];
  flags.request.bundle = Absolute(arguments.Text("bundle", "."));
  flags.request.pid_file = Absolute(arguments.Text("pid-file"));
  flags.request.console_socket = Absolute(arguments.Text("console-socket"));
  flags.request.no_new_keyring = arguments.IsOn("no-new-keyring");
  ASSIGN_OR_RETURN(const std::optional<int64_t> preserved, arguments.Number("preserve-fds"));
  RETURN_IF_ERROR(CheckPreserved(preserved.value_or(0)));
  flags.request.preserve_fds = static_cast<int>(preserved.value_or(0));
  flags.detach = arguments.IsOn("detach");
  flags.request.stays = is_run && !flags.detach;
  flags.keep = arguments.IsOn("keep");
  flags.subreaper = !arguments.IsOn("no-subreaper");
  return flags;
}

}  // namespace berth::shim::front

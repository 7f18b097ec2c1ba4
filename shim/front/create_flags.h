// The flags that `create` and `run` share.
#pragma once

#include "absl/status/statusor.h"
#include "shim/front/arguments.h"
#include "shim/front/create_container.h"

namespace berth::shim::front {

struct CreateFlags {
  CreateRequest request;
  bool detach = false;  // run alone, as the next two
  bool keep = false;
  bool subreaper = true;
};

// --preserve-fds: descriptors from 3 on must be open; all others are closed to what we start.
absl::Status CheckPreserved(int64_t count);

// A terminal's master goes to whoever listens at --console-socket; without it to the command
// itself, where that stays in front of the process.
absl::Status CheckConsole(bool terminal, const std::string& socket, bool stays);

// InvalidArgument for `run`'s flags unless `is_run`.
absl::StatusOr<CreateFlags> ParseCreateFlags(const Words& words, bool is_run);

}  // namespace berth::shim::front

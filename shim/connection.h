// One call to a shim: connect, send a request with fds, wait for the reply. Part of the client.
// Thread-safe: no state.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/os/unique_fd.h"
#include "shim/protocol.h"

namespace berth::shim {

// Unavailable when no shim listens below `run_dir`.
absl::StatusOr<os::UniqueFd> Connect(const std::string& run_dir, Deadline deadline);

protocol::Request MakeRequest(protocol::Op op, int argument = 0);

absl::Status SendRequest(int connection, const protocol::Request& request,
                         const std::vector<int>& fds);

// Waits for one packet. Unavailable: the shim hung up. DeadlineExceeded. DataLoss: not a reply of
// this protocol, or to another operation. The code in the reply is the caller's to look at.
absl::StatusOr<protocol::Reply> ReceiveReply(int connection, protocol::Op op, Deadline deadline);

// The reply's own code as a status: "exec /bin/x: No such file or directory".
absl::Status StatusOf(const protocol::Reply& reply);

// The arguments memfd of protocol.h, sealed. InvalidArgument: none, too many or too long.
absl::StatusOr<os::UniqueFd> MakeArguments(const std::vector<std::string>& args);

}  // namespace berth::shim

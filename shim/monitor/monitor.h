// The monitor: what berth-shim is from the answered create until its container has ended and been
// reported. Single-threaded; no Abseil, no JSON, no protobuf.
#pragma once

namespace berth::shim::monitor {

// Reads a MonitorState from `state_fd` and serves until the container has ended and nobody needs
// the shim any more. The value is the exit code of the process.
int Run(int state_fd);

}  // namespace berth::shim::monitor

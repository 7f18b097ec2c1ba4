// A pull: two processes, split before any byte of a registry is read. The one that the daemon
// started unpacks and has no network; its child fetches, talks to the daemon and has no
// capabilities. Single use, called before the program has threads.
#pragma once

#include "image/worker/limits.h"

namespace berth::worker {

// The program's exit code. `socket_fd`, `staging_fd`: docs/formats/image-worker.md.
int RunPull(int socket_fd, int staging_fd, const Limits& limits);

}  // namespace berth::worker

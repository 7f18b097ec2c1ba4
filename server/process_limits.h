// What berthd sets for its own process at start. Not thread-safe: before the first thread.
#pragma once

#include <cstdint>

namespace berth::server {

// SIGTERM, SIGINT, SIGHUP for WaitForSignal; SIGPIPE because a peer that hangs up is an errno.
// Blocked rather than ignored: a program started later begins with a clean table.
void BlockSignals();
// Two arenas instead of eight a core: memory stays flat when a thousand threads come and go.
void LimitMallocArenas();
struct FileLimit {
  uint64_t soft = 0;
  uint64_t hard = 0;
};
// The soft limit of open files goes up to the hard one. Returns what was before: containers are to
// begin with that, as some programs loop over every number below their soft limit.
FileLimit RaiseFileLimit();
// The nearest value to `wanted` that this host lets us have; logs when that is another.
void SetOomScore(int64_t wanted);

// The next of the blocked signals.
int WaitForSignal();

}  // namespace berth::server

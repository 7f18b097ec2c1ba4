// The fetching process of a pull, from its confinement to Done. Single use, one thread calls it.
#pragma once

#include <atomic>
#include <vector>

#include "absl/status/status.h"
#include "image/worker/channel.h"

namespace berth::worker {

struct FetchOptions {
  PullRequest request;
  std::vector<int> slots;  // to the unpacking process; see slot.h
  const std::atomic<uint64_t>* unpacked = nullptr;
};

// Confines the process, then plan, request, layers, Done. On error nothing was sent about it yet:
// the caller sends Failure.
absl::Status RunFetch(const FetchOptions& options, Channel* channel);

}  // namespace berth::worker

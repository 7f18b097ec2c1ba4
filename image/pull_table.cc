#include "image/pull_table.h"

#include <poll.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/status_macros.h"

namespace berth::image {
namespace {

// Pulls that wait for a thread. Kubelet sends as many as a node has pods, at worst.
constexpr size_t kMaxQueued = 1024;

// Returns when either is set. Without descriptors left it looks again by itself.
void WaitForEither(const Cancel& a, const Cancel& b) {
  pollfd fds[2] = {{a.fd(), POLLIN, 0}, {b.fd(), POLLIN, 0}};
  const bool both = fds[0].fd >= 0 && fds[1].fd >= 0;
  (void)poll(fds, 2, both ? 60000 : 100);  // the caller looks at both
}

}  // namespace

void PullTable::Pull::Report(uint64_t bytes_received, uint64_t bytes_total) {
  bytes_received_ = bytes_received;
  bytes_total_ = bytes_total;
}

PullTable::PullTable(size_t max_concurrent, std::function<void()> on_abandon)
    : on_abandon_(std::move(on_abandon)),
      pool_({.name = "image-pull", .max_threads = max_concurrent, .max_queue = kMaxQueued}) {}

PullTable::~PullTable() {
  {
    MutexLock lock(&mu_);
    for (const auto& [key, pull] : pulls_) pull->abandoned_.Set();
  }
  on_abandon_();
}

PullTable::Result PullTable::Join(const PullKey& key, const Cancel& cancel, Work work) {
  PullPtr pull;
  bool first = false;
  {
    MutexLock lock(&mu_);
    PullPtr& slot = pulls_[key];
    first = slot == nullptr;
    if (first) slot = std::make_shared<Pull>();
    pull = slot;
    ++pull->callers_;
  }
  if (first) {
    const absl::Status accepted = pool_.Submit([this, key, pull, work = std::move(work)] {
      pull->running_ = true;
      const bool wanted = !pull->abandoned_.cancelled();
      Settle(key, pull, wanted ? work(pull.get()) : absl::CancelledError("nobody waits for it"));
    });
    if (!accepted.ok()) Settle(key, pull, Annotate(accepted, "start pull"));
  }
  while (!pull->settled_.cancelled()) {
    if (cancel.cancelled()) {
      Leave(key, pull);
      return absl::CancelledError(absl::StrCat("pull image ", key.reference, ": cancelled"));
    }
    WaitForEither(pull->settled_, cancel);
  }
  return pull->result_;
}

void PullTable::Settle(const PullKey& key, const PullPtr& pull, Result result) {
  {
    // Whoever comes from here on pulls anew.
    MutexLock lock(&mu_);
    Forget(key, pull);
  }
  pull->result_ = std::move(result);
  pull->settled_.Set();
}

void PullTable::Leave(const PullKey& key, const PullPtr& pull) {
  {
    MutexLock lock(&mu_);
    if (--pull->callers_ > 0) return;
    Forget(key, pull);
  }
  pull->abandoned_.Set();
  on_abandon_();
}

void PullTable::Forget(const PullKey& key, const PullPtr& pull) {
  const auto it = pulls_.find(key);
  if (it != pulls_.end() && it->second == pull) pulls_.erase(it);
}

std::vector<PullStatus> PullTable::List() const {
  MutexLock lock(&mu_);
  std::vector<PullStatus> list;
  list.reserve(pulls_.size());
  for (const auto& [key, pull] : pulls_) {
    list.push_back({key.reference, absl::Nanoseconds(MonotonicNanos() - pull->began_),
                    !pull->running_, pull->callers_, pull->bytes_received_, pull->bytes_total_});
  }
  return list;
}

}  // namespace berth::image

#include "image/worker/import.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "base/os/errno_status.h"
#include "base/os/unique_fd.h"
#include "base/status_macros.h"
#include "image/worker/layer_pipeline.h"
#include "image/worker/plan.h"

namespace berth::worker {
namespace {

// The layers of one import, each unpacked by whichever thread is free.
class LayerCrew {
 public:
  LayerCrew(const OuterArchive& archive, const ImportOptions& options, Channel* channel)
      : archive_(archive), options_(options), channel_(channel) {}

  absl::Status Run(std::vector<std::pair<Digest, LayerSource>> work) {
    work_ = std::move(work);
    all_ended_ = os::UniqueFd(eventfd(0, EFD_CLOEXEC));
    if (!all_ended_.valid()) return os::ErrnoStatus(errno, "eventfd");
    const size_t count = std::min<size_t>(options_.threads, work_.size());
    if (count == 0) return absl::OkStatus();
    running_ = count;
    std::vector<std::thread> threads;
    for (size_t i = 0; i < count; ++i) threads.emplace_back([this] { Work(); });
    WaitForEndOrHangUp();
    for (std::thread& thread : threads) thread.join();
    MutexLock lock(&mu_);
    return first_error_;
  }

 private:
  void Work() {
    for (;;) {
      const size_t mine = next_.fetch_add(1);
      if (mine >= work_.size() || stop_.load()) break;
      Fail(UnpackOne(mine));
    }
    if (running_.fetch_sub(1) == 1) {
      const uint64_t one = 1;
      // An eventfd whose counter is 0 takes any write.
      (void)!write(all_ended_.get(), &one, sizeof one);
    }
  }

  absl::Status UnpackOne(size_t index) {
    const auto& [diff_id, source] = work_[index];
    FromWorker message;
    ASSIGN_OR_RETURN(*message.mutable_layer(),
                     UnpackLayer(archive_, diff_id, source, options_.staging_fd,
                                 absl::StrCat(index), options_.limits, &stop_));
    return channel_->Send(std::move(message));
  }

  // The first error is the one that is told: the others are mostly its consequence.
  void Fail(const absl::Status& status) {
    if (status.ok()) return;
    MutexLock lock(&mu_);
    if (first_error_.ok()) first_error_ = status;
    stop_.store(true);
  }

  void WaitForEndOrHangUp() {
    pollfd fds[2] = {{all_ended_.get(), POLLIN, 0}, {channel_->fd(), POLLIN | POLLRDHUP, 0}};
    for (;;) {
      const int n = poll(fds, 2, -1);
      if (n < 0 && errno == EINTR) continue;
      if ((fds[0].revents & POLLIN) != 0) return;
      // The daemon has nothing to say now: whatever comes means that it is gone.
      Fail(absl::CancelledError("the daemon closed the socket"));
      return;
    }
  }

  const OuterArchive& archive_;
  const ImportOptions& options_;
  Channel* const channel_;
  std::vector<std::pair<Digest, LayerSource>> work_;
  os::UniqueFd all_ended_;
  std::atomic<size_t> next_{0};
  std::atomic<size_t> running_{0};
  std::atomic<bool> stop_{false};
  Mutex mu_;
  absl::Status first_error_ ABSL_GUARDED_BY(mu_);
};

absl::StatusOr<std::vector<std::pair<Digest, LayerSource>>> Wanted(const UnpackRequest& request,
                                                                   const Plan& plan) {
  std::vector<std::pair<Digest, LayerSource>> work;
  std::set<std::string> seen;
  for (const std::string& text : request.diff_ids()) {
    ASSIGN_OR_RETURN(const Digest diff_id, Digest::Parse(text));
    const auto it = plan.layers.find(diff_id);
    if (it == plan.layers.end()) {
      return absl::InternalError(absl::StrCat("unpack layer ", text, ": not in the plan"));
    }
    if (seen.insert(text).second) work.emplace_back(diff_id, it->second);
  }
  // Large ones first: the longest layer decides when the import ends.
  std::stable_sort(work.begin(), work.end(),
                   [](const auto& a, const auto& b) { return a.second.size > b.second.size; });
  return work;
}

}  // namespace

absl::Status RunImport(const ImportOptions& options, Channel* channel) {
  ASSIGN_OR_RETURN(const OuterArchive archive, OuterArchive::Index(options.archive_fd));
  ASSIGN_OR_RETURN(const Plan plan, MakePlan(archive));
  FromWorker planned;
  for (const PlannedImage& image : plan.images) *planned.mutable_plan()->add_images() = image;
  *planned.mutable_plan()->mutable_confinement() = options.confinement;
  RETURN_IF_ERROR(channel->Send(std::move(planned)));

  ASSIGN_OR_RETURN(const ToWorker request, channel->Receive());
  if (!request.has_unpack()) return absl::InternalError("receive from the daemon: no request");
  ASSIGN_OR_RETURN(auto work, Wanted(request.unpack(), plan));
  const size_t layers = work.size();
  RETURN_IF_ERROR(LayerCrew(archive, options, channel).Run(std::move(work)));

  FromWorker done;
  done.mutable_done()->set_layers(static_cast<uint32_t>(layers));
  return channel->Send(std::move(done));
}

}  // namespace berth::worker

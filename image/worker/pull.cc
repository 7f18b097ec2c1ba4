#include "image/worker/pull.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <new>
#include <utility>
#include <vector>

#include "base/os/errno_status.h"
#include "base/os/unique_fd.h"
#include "base/status_macros.h"
#include "image/worker/channel.h"
#include "image/worker/confine.h"
#include "image/worker/fetch.h"
#include "image/worker/sha256.h"
#include "image/worker/slot.h"

namespace berth::worker {
namespace {

constexpr uint32_t kDefaultLayers = 3;
constexpr uint32_t kMaxLayersAtOnce = 8;

struct SlotPairs {
  std::vector<os::UniqueFd> fetch;
  std::vector<os::UniqueFd> unpack;
};

absl::StatusOr<SlotPairs> MakeSlots(uint32_t count) {
  SlotPairs slots;
  for (uint32_t i = 0; i < count; ++i) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
      return os::ErrnoStatus(errno, "start the fetching process: socketpair");
    }
    slots.fetch.emplace_back(pair[0]);
    slots.unpack.emplace_back(pair[1]);
  }
  return slots;
}

// A counter that both processes see.
absl::StatusOr<std::atomic<uint64_t>*> SharedCounter() {
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) return os::ErrnoStatus(errno, "start the fetching process: mmap");
  return new (page) std::atomic<uint64_t>(0);
}

[[noreturn]] void Fetch(pid_t parent, const PullRequest& request, int staging_fd, SlotPairs slots,
                        std::atomic<uint64_t>* unpacked, Channel* channel) {
  // Without its other half it has nothing to do.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent) _exit(1);
  (void)close(staging_fd);
  slots.unpack.clear();
  FetchOptions options;
  options.request = request;
  options.unpacked = unpacked;
  for (const os::UniqueFd& fd : slots.fetch) options.slots.push_back(fd.get());
  const absl::Status result = RunFetch(options, channel);
  // A daemon that is gone cannot be told, and needs not.
  if (!result.ok()) (void)channel->SendFailure(result);
  _exit(result.ok() ? 0 : 1);
}

// Leaves the network and locks the door, then says so: the fetcher waits for that.
absl::Status LockIn(int staging_fd, const Limits& limits, int first_slot) {
  if (unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) != 0) {
    return os::ErrnoStatus(errno, "confine the worker: leave the network");
  }
  FromWorker ready;
  ASSIGN_OR_RETURN(*ready.mutable_plan()->mutable_confinement(), Confine(staging_fd, limits));
  Channel first(first_slot);
  return first.Send(std::move(ready));
}

absl::StatusOr<int> Run(int socket_fd, int staging_fd, const Limits& limits, Channel* channel) {
  ASSIGN_OR_RETURN(const ToWorker first, channel->Receive());
  if (!first.has_pull()) return absl::InternalError("receive from the daemon: no pull request");
  const uint32_t wanted = first.pull().parallel_layers();
  ASSIGN_OR_RETURN(SlotPairs slots,
                   MakeSlots(std::min(wanted == 0 ? kDefaultLayers : wanted, kMaxLayersAtOnce)));
  ASSIGN_OR_RETURN(std::atomic<uint64_t>* const unpacked, SharedCounter());
  InitSha256();
  const pid_t self = getpid();
  const pid_t child = fork();
  if (child < 0) return os::ErrnoStatus(errno, "start the fetching process: fork");
  if (child == 0) Fetch(self, first.pull(), staging_fd, std::move(slots), unpacked, channel);
  (void)close(socket_fd);  // the fetcher's alone from here on
  slots.fetch.clear();
  if (absl::Status s = LockIn(staging_fd, limits, slots.unpack[0].get()); !s.ok()) {
    (void)Channel(slots.unpack[0].get()).SendFailure(s);  // a fetcher that is gone needs not know
    slots.unpack.clear();
  }
  std::vector<int> fds;
  for (os::UniqueFd& fd : slots.unpack) fds.push_back(fd.release());
  ServeSlots(fds, staging_fd, limits, unpacked);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

}  // namespace

int RunPull(int socket_fd, int staging_fd, const Limits& limits) {
  Channel channel(socket_fd);
  const absl::StatusOr<int> code = Run(socket_fd, staging_fd, limits, &channel);
  if (code.ok()) return *code;
  (void)channel.SendFailure(code.status());  // as above
  return 1;
}

}  // namespace berth::worker

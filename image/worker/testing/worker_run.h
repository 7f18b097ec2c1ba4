// Runs the real berth-image over an archive, playing the daemon's part, in a directory of its own.
// Not thread-safe.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "image/worker/channel.h"

namespace berth::worker::testing {

// A directory below /tmp, removed with everything in it.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct WorkerResult {
  ImportPlan plan;
  std::map<std::string, LayerDone> layers;  // by diffID
  int wait_status = 0;
};

struct WorkerOptions {
  std::vector<std::string> arguments;  // after "import"
  std::vector<std::string> have;       // diffIDs not to ask for
  bool hang_up_after_plan = false;
};

// Status: the worker's Failure, or Internal when the conversation broke off. `staging` must exist.
absl::StatusOr<WorkerResult> RunWorker(const std::string& archive_path, const std::string& staging,
                                       const WorkerOptions& options = {});

// The same for `berth-image pull`, in the network that the caller is in.
struct PullOptions {
  std::vector<std::string> arguments;  // after "pull"
  std::vector<std::string> have;
  std::vector<Progress>* progress = nullptr;
  std::function<void(pid_t)> on_message;  // before each is handled, with the worker's pid
};
absl::StatusOr<WorkerResult> RunPull(const PullRequest& request, const std::string& staging,
                                     const PullOptions& options = {});

// Everything below a directory as "path type mode owner [content|target]" lines, to compare trees.
std::string Describe(const std::string& directory);

}  // namespace berth::worker::testing

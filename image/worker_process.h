// WorkerProcess: a started berth-image and the conversation with it (proto/image_worker.proto).
// Every wait ends at the deadline that it was started with, when the worker says nothing for too
// long, or when it is cancelled. Not thread-safe: one import or pull, one worker.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/os/spawn.h"
#include "base/os/unique_fd.h"
#include "image_worker.pb.h"

namespace berth::image {

class WorkerProcess {
 public:
  enum class Mode { kImport, kPull };
  struct Options {
    Mode mode = Mode::kImport;
    std::string path;     // of berth-image
    int archive_fd = -1;  // import only
    int staging_fd = -1;
    uint64_t max_layer_bytes = 0;
    Deadline deadline = Deadline::Infinite();
    absl::Duration max_silence = absl::InfiniteDuration();
    const Cancel* cancel = nullptr;  // outlives the worker
    // Runs inside of Receive.
    std::function<void(const worker::Progress&)> on_progress = [](const worker::Progress&) {};
  };
  // Starts `berth-image import` without network, or `berth-image pull` with the host's; in IPC and
  // UTS namespaces of its own.
  static absl::StatusOr<std::unique_ptr<WorkerProcess>> Start(const Options& options);
  // Kills it when it still runs, and reaps it: nothing writes to the staging directory afterwards.
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  // The next message that is no progress. A worker's failure comes back as the status it names; a
  // worker that is gone, as Internal with how it ended.
  absl::StatusOr<worker::FromWorker> Receive();
  absl::Status Send(const worker::ToWorker& message);
  // After `done`: waits for its end, which must be exit code 0.
  absl::Status Finish();

 private:
  WorkerProcess(os::Child child, os::UniqueFd socket, const Options& options);
  absl::StatusOr<worker::FromWorker> ReceiveAny();
  absl::Status ReadExactly(char* data, size_t size);
  absl::Status WaitFor(short events);
  Deadline EndOfWait() const;
  absl::Status Gone();
  absl::StatusOr<int> Reap(Deadline deadline);

  os::Child child_;
  os::UniqueFd socket_;
  const Options options_;
  bool reaped_ = false;
};

}  // namespace berth::image

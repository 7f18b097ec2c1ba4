// WorkerProcess: a started berth-image and the conversation with it (proto/image_worker.proto).
// Every wait ends at the deadline that it was started with. Not thread-safe: one import, one
// worker.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/os/spawn.h"
#include "base/os/unique_fd.h"
#include "image_worker.pb.h"

namespace berth::image {

class WorkerProcess {
 public:
  struct Options {
    std::string path;  // of berth-image
    int archive_fd = -1;
    int staging_fd = -1;
    uint64_t max_layer_bytes = 0;
  };
  // Starts `berth-image import` without network, in IPC and UTS namespaces of its own.
  static absl::StatusOr<std::unique_ptr<WorkerProcess>> Start(const Options& options,
                                                              Deadline deadline);
  // Kills it when it still runs, and reaps it: nothing writes to the staging directory afterwards.
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  // The next message. A worker's failure comes back as the status it names; a worker that is gone,
  // as Internal with how it ended.
  absl::StatusOr<worker::FromWorker> Receive();
  absl::Status Send(const worker::ToWorker& message);
  // After `done`: waits for its end, which must be exit code 0.
  absl::Status Finish();

 private:
  WorkerProcess(os::Child child, os::UniqueFd socket, Deadline deadline);
  absl::Status ReadExactly(char* data, size_t size);
  absl::Status WaitFor(short events);
  absl::Status Gone();
  absl::StatusOr<int> Reap(Deadline deadline);

  os::Child child_;
  os::UniqueFd socket_;
  const Deadline deadline_;
  bool reaped_ = false;
};

}  // namespace berth::image

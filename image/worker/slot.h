// A slot joins the two processes of a pull: the fetching one sends a LayerJob and the blob's bytes
// through it, the unpacking one answers with LayerDone or Failure. One layer at a time; as many
// slots as layers side by side.
//
//   fetcher                            unpacker
//   LayerJob          ------------->
//   length, bytes ... ------------->   hashes, inflates, hashes, writes
//   0 (or kAborted)   ------------->
//                     <-------------   layer or failure; after a failure the slot is closed
//
// Before the first job the unpacker says on the first slot that it is confined.
// Not thread-safe: one thread an end.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "image/worker/byte_source.h"
#include "image/worker/limits.h"
#include "image_worker.pb.h"

namespace berth::worker {

// The fetcher's end.
class SlotWriter {
 public:
  explicit SlotWriter(int fd) : fd_(fd) {}
  absl::Status Begin(const LayerJob& job);
  // Aborted when the unpacker takes no more: its reason is what End gives.
  absl::Status Write(absl::string_view data);
  // Says that the blob is whole and waits for what became of it.
  absl::StatusOr<LayerDone> End();
  // Says that it never will be.
  void Abort();

 private:
  absl::Status Frame(uint32_t length, absl::string_view data);
  const int fd_;
};

// The blob's bytes at the unpacker's end.
class SlotSource : public ByteSource {
 public:
  explicit SlotSource(int fd) : fd_(fd), buffer_(kChunkBytes, '\0') {}
  absl::StatusOr<absl::string_view> Next() override;

 private:
  const int fd_;
  uint32_t left_ = 0;  // of the frame
  bool ended_ = false;
  std::string buffer_;
};

// The unpacking process: serves the slots, a thread each, until they are closed. Closes them.
void ServeSlots(const std::vector<int>& slots, int staging_fd, const Limits& limits,
                std::atomic<uint64_t>* unpacked);

// What a Failure message says, as a status again.
absl::Status ToStatus(const Failure& failure);

}  // namespace berth::worker

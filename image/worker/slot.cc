#include "image/worker/slot.h"

#include <errno.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "image/worker/channel.h"
#include "image/worker/layer_pipeline.h"
#include "image/worker/message.h"

namespace berth::worker {
namespace {

constexpr uint32_t kAborted = 0xffffffff;

absl::Status ReadFully(int fd, char* data, size_t size) {
  for (size_t done = 0; done < size;) {
    const ssize_t n = read(fd, data + done, size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os::ErrnoStatus(errno, "read from the fetching process");
    if (n == 0) return absl::AbortedError("the fetching process is gone");
    done += static_cast<size_t>(n);
  }
  return absl::OkStatus();
}

absl::StatusOr<LayerDone> UnpackJob(int fd, const LayerJob& job, const LayerTarget& target) {
  ASSIGN_OR_RETURN(const Digest diff_id, Digest::Parse(job.diff_id()));
  ASSIGN_OR_RETURN(const Digest blob, Digest::Parse(job.blob()));
  const LayerSource source = {"blob " + job.blob(), blob, job.media_type(), job.size()};
  SlotSource bytes(fd);
  return UnpackLayer(&bytes, diff_id, source, target);
}

void ServeSlot(int fd, LayerTarget target) {
  const os::UniqueFd owned(fd);  // closed with a layer that failed: the fetcher's writes end
  Channel channel(fd);
  for (;;) {
    ToWorker request;
    if (!ReceiveMessage(fd, "the fetching process", &request).ok() || !request.has_job()) return;
    target.name = request.job().directory();
    absl::StatusOr<LayerDone> done = UnpackJob(fd, request.job(), target);
    // A fetcher that is gone cannot be told, and needs not.
    if (!done.ok()) {
      (void)channel.SendFailure(done.status());
      return;
    }
    FromWorker answer;
    *answer.mutable_layer() = *std::move(done);
    if (!channel.Send(std::move(answer)).ok()) return;
  }
}

}  // namespace

absl::Status SlotWriter::Frame(uint32_t length, absl::string_view data) {
  std::string frame;
  for (int shift = 0; shift < 32; shift += 8) frame.push_back(static_cast<char>(length >> shift));
  frame.append(data.data(), data.size());
  if (os::WriteAll(fd_, frame).ok()) return absl::OkStatus();
  return absl::AbortedError("the unpacking process takes no more");
}

absl::Status SlotWriter::Begin(const LayerJob& job) {
  ToWorker message;
  message.set_version(kProtocolVersion);
  *message.mutable_job() = job;
  return SendMessage(fd_, message, "the unpacking process");
}

absl::Status SlotWriter::Write(absl::string_view data) {
  for (; !data.empty(); data.remove_prefix(std::min(data.size(), kChunkBytes))) {
    const absl::string_view piece = data.substr(0, kChunkBytes);
    RETURN_IF_ERROR(Frame(static_cast<uint32_t>(piece.size()), piece));
  }
  return absl::OkStatus();
}

absl::StatusOr<LayerDone> SlotWriter::End() {
  (void)Frame(0, "");  // when nobody takes it, the answer says why
  FromWorker answer;
  if (absl::Status s = ReceiveMessage(fd_, "the unpacking process", &answer); !s.ok()) {
    return WithCode(absl::StatusCode::kInternal, s, "unpack layer");
  }
  if (answer.has_failure()) return ToStatus(answer.failure());
  if (!answer.has_layer()) return absl::InternalError("unpack layer: an answer without a layer");
  return std::move(*answer.mutable_layer());
}

void SlotWriter::Abort() { (void)Frame(kAborted, ""); }  // whoever is gone needs not be told

absl::StatusOr<absl::string_view> SlotSource::Next() {
  if (ended_) return absl::string_view();
  if (left_ == 0) {
    unsigned char head[4];
    RETURN_IF_ERROR(ReadFully(fd_, reinterpret_cast<char*>(head), sizeof head));
    left_ = head[0] | uint32_t{head[1]} << 8 | uint32_t{head[2]} << 16 | uint32_t{head[3]} << 24;
    ended_ = left_ == 0;
    if (ended_) return absl::string_view();
    if (left_ == kAborted) return absl::AbortedError("the fetching process gave up");
    if (left_ > kChunkBytes)
      return absl::InternalError("read from the fetching process: oversized");
  }
  RETURN_IF_ERROR(ReadFully(fd_, buffer_.data(), left_));
  return absl::string_view(buffer_.data(), std::exchange(left_, 0));
}

void ServeSlots(const std::vector<int>& slots, int staging_fd, const Limits& limits,
                std::atomic<uint64_t>* unpacked) {
  // A slot that is closed ends its layer: nothing else is needed.
  const std::atomic<bool> never{false};
  LayerTarget target;
  target.stop = &never;
  target.staging_fd = staging_fd;
  target.limits = limits;
  target.unpacked = unpacked;
  std::vector<std::thread> threads;
  threads.reserve(slots.size());
  for (const int fd : slots) threads.emplace_back([fd, target] { ServeSlot(fd, target); });
  for (std::thread& thread : threads) thread.join();
}

absl::Status ToStatus(const Failure& failure) {
  return absl::Status(static_cast<absl::StatusCode>(failure.code()), failure.message());
}

}  // namespace berth::worker

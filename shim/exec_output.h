// The two output pipes of an exec and what came out of them, each bounded. Part of the client.
// Not thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/os/unique_fd.h"

namespace berth::shim {

class OutputPipes {
 public:
  // Of each stream the first `limit` bytes are kept; the rest is read and dropped.
  static absl::StatusOr<OutputPipes> Make(size_t limit);

  // What goes with an exec request: arguments, stdout, stderr.
  std::vector<int> Fds(int arguments) const;
  // Once they are sent: the pipes' ends show only without our own copies.
  void CloseWriteEnds();

  // Reads until `fd` is readable or hung up. DeadlineExceeded; Cancelled when `cancel` (may be
  // null) is set.
  absl::Status ReadUntilReadable(int fd, Deadline deadline, const Cancel* cancel);
  // Reads until both have ended or the deadline has passed, which is no error: something that the
  // exec left behind may hold them open for ever.
  absl::Status ReadRest(Deadline deadline);

  std::string TakeOut() && { return std::move(streams_[0].data); }
  std::string TakeErr() && { return std::move(streams_[1].data); }

 private:
  struct Stream {
    os::UniqueFd read_end;  // invalid once it has ended
    os::UniqueFd write_end;
    std::string data;
  };
  // Waits for output, or for `extra` or `cancelled` (-1: none). True: `extra` is readable.
  absl::StatusOr<bool> ReadSome(int extra, int cancelled, Deadline deadline);
  void Read(Stream* stream);

  Stream streams_[2];
  size_t limit_ = 0;
};

}  // namespace berth::shim

// The archive file: a tar whose members are found by name and streamed without unpacking it.
// Immutable after Index, thread-safe: each stream reads with pread.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "image/worker/byte_source.h"

struct archive_entry;

namespace berth::worker {

class OuterArchive {
 public:
  // One pass over the headers. `fd`: a regular file, not owned. InvalidArgument: no tar,
  // compressed, cut off, a member that climbs out, too many members.
  static absl::StatusOr<OuterArchive> Index(int fd);

  bool Has(const std::string& name) const { return members_.count(Normalise(name)) != 0; }
  // Bytes of a member, links followed. InvalidArgument when it is absent.
  absl::StatusOr<uint64_t> Size(const std::string& name) const;
  // A document of at most kMaxDocumentBytes, whole.
  absl::StatusOr<std::string> ReadDocument(const std::string& name) const;
  // A stream of the member's bytes; fails when the file ends before them. Must not outlive *this.
  absl::StatusOr<std::unique_ptr<ByteSource>> Open(const std::string& name) const;

 private:
  struct Member {
    uint64_t position = 0;  // of its header
    uint64_t size = 0;
    std::string link;  // normalised target when it is a link
    bool duplicate = false;
  };
  static std::string Normalise(const std::string& name);
  absl::Status Add(archive_entry* entry, uint64_t position, size_t* name_bytes);
  absl::StatusOr<const Member*> Find(const std::string& name) const;

  int fd_ = -1;
  uint64_t file_size_ = 0;
  std::map<std::string, Member> members_;
};

}  // namespace berth::worker

// Owner, mode, xattrs and times of a tar entry, put on what was made for it, by fd.
// Thread-safe: no state.
#pragma once

#include <sys/stat.h>
#include <time.h>

#include "absl/status/statusor.h"

struct archive_entry;

namespace berth::worker {

struct Owner {
  uid_t uid = 0;
  gid_t gid = 0;
};
// InvalidArgument: not 0..2^32-2.
absl::StatusOr<Owner> EntryOwner(archive_entry* entry);
timespec EntryTime(archive_entry* entry);

// Everything but the times: owner before mode (chown clears setuid), xattrs after both (chown drops
// security.capability). Kept: security.capability and user.* but user.overlay.*.
absl::Status ApplyMetadata(archive_entry* entry, int fd);

}  // namespace berth::worker

// errno as absl::Status, kept as a payload so that callers in this layer can ask for it. The code
// is kInternal (kResourceExhausted for ENOSPC, EDQUOT, EMFILE, ENFILE, ENOMEM, EAGAIN): a domain
// picks its own code with WithCode(), so that a missing kernel file never reads as "not found".
// Pure functions; thread-safe.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace berth::os {

// "`what`: No such file or directory". `what` is verb + object: "open /run/x".
absl::Status ErrnoStatus(int error, absl::string_view what);

// The errno inside, 0 when there is none.
int ErrnoOf(const absl::Status& status);
inline bool IsErrno(const absl::Status& status, int error) { return ErrnoOf(status) == error; }

// "No such file or directory".
const char* ErrnoText(int error);

}  // namespace berth::os

// The exit record as the monitor writes it: <run dir>/exit, docs/formats/exit-record.md. Its disk
// space is taken when the container is created, so that a full disk cannot lose an exit code.
// Single-threaded; part of the monitor: no Abseil, no heap.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "shim/monitor/oom.h"

namespace berth::shim::monitor {

constexpr char kExitFile[] = "exit";
constexpr char kExitTempFile[] = "exit.tmp";
constexpr size_t kExitRecordLimit = 256;

struct ExitFacts {
  int32_t exit_code;
  int32_t signal;
  int64_t finished_at;  // wall clock, nanoseconds
  OomLevel oom;
};

// Bytes written to `out`, which holds kExitRecordLimit.
size_t FormatExitRecord(const ExitFacts& facts, const char* boot_id, char* out);

// Opens the temporary file with space for a record. -1 when it cannot.
int ReserveExitFile(int run_dir_fd);
// Writes to the reserved file (or to a new one: -1) and renames it. 0 or an errno.
int WriteExitFile(int run_dir_fd, int reserved_fd, const ExitFacts& facts, const char* boot_id);

}  // namespace berth::shim::monitor

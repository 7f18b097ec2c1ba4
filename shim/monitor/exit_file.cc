#include "shim/monitor/exit_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "shim/monitor/text.h"

namespace berth::shim::monitor {
namespace {

// A record holds no number below 0.
char* PutValue(char* p, int64_t value) {
  return PutNumber(p, value < 0 ? 0 : static_cast<uint64_t>(value));
}

}  // namespace

size_t FormatExitRecord(const ExitFacts& facts, const char* boot_id, char* out) {
  char* p = PutText(out, "berth-exit 2\nboot_id ");
  p = PutText(p, boot_id);
  p = PutValue(PutText(p, "\nexit_code "), facts.exit_code);
  p = PutValue(PutText(p, "\nsignal "), facts.signal);
  p = PutValue(PutText(p, "\nfinished_at "), facts.finished_at);
  p = PutValue(PutText(p, "\noom_killed "), static_cast<int64_t>(facts.oom));
  p = PutText(p, "\nend\n");
  return static_cast<size_t>(p - out);
}

int ReserveExitFile(int run_dir_fd) {
  const int fd = openat(run_dir_fd, kExitTempFile,
                        O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  // A file system without fallocate keeps the empty file: then the record takes its chances.
  if (fd >= 0) (void)fallocate(fd, 0, 0, kExitRecordLimit);
  return fd;
}

int WriteExitFile(int run_dir_fd, int reserved_fd, const ExitFacts& facts, const char* boot_id) {
  char text[kExitRecordLimit];
  const size_t size = FormatExitRecord(facts, boot_id, text);
  const int fd = reserved_fd >= 0 ? reserved_fd : ReserveExitFile(run_dir_fd);
  if (fd < 0) return errno;
  if (pwrite(fd, text, size, 0) != static_cast<ssize_t>(size)) return ENOSPC;
  if (ftruncate(fd, static_cast<off_t>(size)) != 0) return errno;
  if (renameat(run_dir_fd, kExitTempFile, run_dir_fd, kExitFile) != 0) return errno;
  return 0;
}

}  // namespace berth::shim::monitor

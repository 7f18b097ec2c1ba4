#include "ctl/output.h"

#include <unistd.h>

#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::ctl {

absl::Status Print(absl::string_view text) {
  return Annotate(os::WriteAll(STDOUT_FILENO, text), "write to standard output");
}

absl::Status PrintError(absl::string_view text) {
  return Annotate(os::WriteAll(STDERR_FILENO, text), "write to standard error");
}

}  // namespace berth::ctl

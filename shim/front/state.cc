#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "shim/front/commands.h"
#include "shim/front/container.h"

namespace berth::shim::front {

absl::StatusOr<int> State(const Options& options, const Words& words) {
  ASSIGN_OR_RETURN(const Arguments arguments, Arguments::Parse(words, {}));
  RETURN_IF_ERROR(arguments.Expect(1, 1));
  ASSIGN_OR_RETURN(const Container container, Container::Open(options, arguments.words()[0]));
  ASSIGN_OR_RETURN(const Status status, container.GetStatus());
  RETURN_IF_ERROR(
      os::WriteAll(STDOUT_FILENO, absl::StrCat(FullState(container.record(), status), "\n")));
  return 0;
}

}  // namespace berth::shim::front

// `pause` and `resume`.
#include "base/clock.h"
#include "base/status_macros.h"
#include "shim/front/commands.h"
#include "shim/front/container.h"

namespace berth::shim::front {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(10);

absl::StatusOr<Container> Open(const Options& options, const Words& words) {
  ASSIGN_OR_RETURN(const Arguments arguments, Arguments::Parse(words, {}));
  RETURN_IF_ERROR(arguments.Expect(1, 1));
  return Container::Open(options, arguments.words()[0]);
}

}  // namespace

absl::StatusOr<int> Pause(const Options& options, const Words& words) {
  ASSIGN_OR_RETURN(const Container container, Open(options, words));
  RETURN_IF_ERROR(container.ExpectStatus(Status::kRunning, Status::kCreated));
  RETURN_IF_ERROR(
      container.cgroups().Freeze(container.record().cgroup, Deadline::After(kPatience)));
  return 0;
}

absl::StatusOr<int> Resume(const Options& options, const Words& words) {
  ASSIGN_OR_RETURN(const Container container, Open(options, words));
  RETURN_IF_ERROR(container.ExpectStatus(Status::kPaused, Status::kPaused));
  RETURN_IF_ERROR(container.cgroups().Thaw(container.record().cgroup, Deadline::After(kPatience)));
  return 0;
}

}  // namespace berth::shim::front

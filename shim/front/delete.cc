#include <sys/syscall.h>

#include <csignal>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "shim/front/commands.h"
#include "shim/front/container.h"
#include "shim/front/destroy_container.h"

namespace berth::shim::front {
namespace {

// For its poststop hooks. What a killed `create` left may have no configuration, or half of one.
oci::Hooks HooksOf(Container* container) {
  const absl::StatusOr<std::string> config = container->dir().ReadConfig();
  if (!config.ok()) return {};
  absl::StatusOr<oci::Spec> spec = oci::ParseSpec(*config);
  return spec.ok() ? std::move(spec->hooks) : oci::Hooks{};
}

}  // namespace

absl::StatusOr<int> Delete(const Options& options, const Words& words) {
  ASSIGN_OR_RETURN(const Arguments arguments,
                   Arguments::Parse(words, {{"force", 'f', Flag::kSwitch}}));
  RETURN_IF_ERROR(arguments.Expect(1, 1));
  const bool force = arguments.IsOn("force");
  absl::StatusOr<Container> container = Container::OpenLocked(options, arguments.words()[0]);
  if (force && absl::IsNotFound(container.status())) return 0;
  RETURN_IF_ERROR(container.status());
  if (!force) RETURN_IF_ERROR(container->ExpectStatus(Status::kStopped, Status::kStopped));
  const oci::Hooks hooks = HooksOf(&*container);
  RETURN_IF_ERROR(DestroyContainer(container->cgroups(), container->record(), &container->dir()));
  RunPoststopHooks(container->record(), hooks);
  return 0;
}

}  // namespace berth::shim::front

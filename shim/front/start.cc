#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "shim/front/commands.h"
#include "shim/front/container.h"
#include "shim/front/start_container.h"

namespace berth::shim::front {

absl::StatusOr<int> Start(const Options& options, const Words& words) {
  ASSIGN_OR_RETURN(const Arguments arguments, Arguments::Parse(words, {}));
  RETURN_IF_ERROR(arguments.Expect(1, 1));
  ASSIGN_OR_RETURN(Container container, Container::OpenLocked(options, arguments.words()[0]));
  RETURN_IF_ERROR(container.ExpectStatus(Status::kCreated, Status::kCreated));
  ASSIGN_OR_RETURN(const std::string config, container.dir().ReadConfig());
  ASSIGN_OR_RETURN(const oci::Spec spec, oci::ParseSpec(config));
  ASSIGN_OR_RETURN(const FirstProcess::Gate gate, container.dir().OpenWaitingGate());
  if (!gate.gate_write.valid()) {
    return absl::FailedPreconditionError(
        absl::StrCat("container ", container.record().id, ": has ended before its start"));
  }
  RETURN_IF_ERROR(
      StartContainer({gate.gate_write.get(), gate.report_read.get(), &container.record(),
                      &spec.hooks, &container.cgroups(), &container.dir()}));
  return 0;
}

}  // namespace berth::shim::front

#include "base/os/file.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"
#include "sandbox/paths.h"
#include "sandbox/verbs.h"

namespace berth::sandbox {
namespace {

constexpr size_t kMaxSpec = 16 << 20;

}  // namespace

absl::StatusOr<cri::ContainerStatusResponse> ContainerStatus(
    const Core& core, const cri::ContainerStatusRequest& request) {
  ASSIGN_OR_RETURN(const ContainerPtr container, FindContainer(core, request.container_id()));
  const ContainerViewPtr view = container->view();
  cri::ContainerStatusResponse response;
  *response.mutable_status() = view->status;
  if (!request.verbose()) return response;
  const bool alive = !view->ended();
  nlohmann::json info = {
      {"sandboxID", view->record.sandbox_id()},
      {"pid", alive ? view->record.init_pid() : 0},
      {"shimPid", alive ? view->record.shim_pid() : 0},
      {"state", std::string(Name(view->state))},
      {"runtimeSpecPath", paths::SpecFile(core.options, container->id)},
      {"runDir", core.launcher.RunDir(container->id)},
      {"cgroupsPath", view->record.cgroups_path()},
  };
  // Gone with the container's directory: then there is nothing to show.
  const absl::StatusOr<std::string> spec =
      os::ReadFile(paths::SpecFile(core.options, container->id), kMaxSpec);
  nlohmann::json runtime_spec =
      nlohmann::json::parse(spec.value_or(""), nullptr, /*allow_exceptions=*/false);
  if (!runtime_spec.is_discarded()) info["runtimeSpec"] = std::move(runtime_spec);
  (*response.mutable_info())["info"] =
      info.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return response;
}

}  // namespace berth::sandbox

#include "server/runtime_status.h"

#include <nlohmann/json.hpp>

namespace berth::server {
namespace {

namespace cri = ::runtime::v1;
using nlohmann::json;

std::string VerboseInfo(const RuntimeFacts& facts, const sandbox::RuntimeCounts& counts) {
  const json info = {
      {"version", BERTH_VERSION},
      // critest asks by this name: what lies beside it is on the file system of the containers'
      // roots.
      {"stateDir", facts.data_dir + "/containers"},
      {"dataDir", facts.data_dir},
      {"runDir", facts.run_dir},
      {"importDir", facts.import_dir},
      {"defaultRuntimeHandler", facts.default_handler},
      {"cgroupRoot", facts.cgroup_root},
      {"cgroupLayout", facts.cgroup_layout},
      {"cgroupControllers", facts.cgroup_controllers},
      {"kernelRelease", facts.kernel_release},
      {"shimSource", facts.shim_source},
      {"pods", counts.sandboxes},
      {"containers", counts.containers},
      {"runningContainers", counts.running},
      {"quarantinedRecords", counts.quarantined},
  };
  return info.dump(-1, ' ', false, json::error_handler_t::replace);
}

void AddHandler(const std::string& name, const sandbox::Runtime& runtime,
                cri::StatusResponse* reply) {
  cri::RuntimeHandler* handler = reply->add_runtime_handlers();
  handler->set_name(name);
  // Present though false: a client can tell "not supported" from "too old to say".
  handler->mutable_features()->set_recursive_read_only_mounts(true);
  handler->mutable_features()->set_user_namespaces(runtime.HasUserNamespaces());
}

}  // namespace

void FillVersion(cri::VersionResponse* reply) {
  reply->set_version("0.1.0");  // of the kubelet runtime API's message, the same since it exists
  reply->set_runtime_name("berth");
  reply->set_runtime_version(BERTH_VERSION);
  reply->set_runtime_api_version("v1");
}

void FillStatus(const RuntimeFacts& facts, bool verbose, const sandbox::Runtime& of,
                cri::StatusResponse* reply) {
  cri::RuntimeCondition* runtime = reply->mutable_status()->add_conditions();
  runtime->set_type("RuntimeReady");
  runtime->set_status(true);
  cri::RuntimeCondition* network = reply->mutable_status()->add_conditions();
  network->set_type("NetworkReady");
  const absl::Status ready = of.NetworkReady();
  network->set_status(ready.ok());
  if (!ready.ok()) {
    network->set_reason("NetworkPluginNotReady");
    network->set_message(std::string(ready.message()));
  }
  AddHandler("", of, reply);
  AddHandler(facts.default_handler, of, reply);
  reply->mutable_features()->set_supplemental_groups_policy(true);
  if (verbose) (*reply->mutable_info())["config"] = VerboseInfo(facts, of.Counts());
}

}  // namespace berth::server

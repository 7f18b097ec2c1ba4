#include "sandbox/container_plan.h"

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "sandbox/container_files.h"
#include "sandbox/made_path.h"
#include "sandbox/paths.h"
#include "sandbox/stop_signal.h"

namespace berth::sandbox {
namespace {

std::vector<std::string> Absolute(const RuntimeOptions& options,
                                  const std::vector<std::string>& lowers) {
  std::vector<std::string> absolute;
  absolute.reserve(lowers.size());
  for (const std::string& lower : lowers)
    absolute.push_back(absl::StrCat(options.data_dir, "/", lower));
  return absolute;
}

absl::StatusOr<shim::SeccompFilter> SeccompOf(const Core& core, const ContainerSpec& built) {
  if (built.seccomp.choice == SeccompChoice::kUnconfined) return shim::SeccompFilter{};
  if (core.options.seccomp == nullptr) {
    return absl::FailedPreconditionError(
        "security_context.seccomp: a profile needs a profile compiler, and none is "
        "configured");
  }
  if (built.seccomp.choice == SeccompChoice::kRuntimeDefault) {
    return core.options.seccomp->FilterFor(built.capabilities);
  }
  absl::StatusOr<shim::SeccompFilter> filter =
      core.options.seccomp->FilterFromFile(built.seccomp.path, built.capabilities);
  return filter.ok() ? std::move(filter)
                     : Annotate(filter.status(), "security_context.seccomp: profile");
}

void FillImage(const image::Image& image, const std::string& asked, ContainerRecord* record) {
  record->set_image_id(image.id.str());
  record->set_image_ref(image.repo_digests.empty() ? image.id.str() : image.repo_digests[0]);
  // kubelet asks by id and shows what is here: a name where there is one.
  record->set_image_name(image.repo_tags.empty() ? asked : image.repo_tags[0]);
  for (const Digest& layer : image.layers) record->add_layers(layer.str());
}

ContainerRecord IntentRecord(const Core& core, const ContainerId& id, const Pod& pod,
                             const cri::ContainerConfig& config) {
  const SandboxRecord& of_pod = pod.view()->record;
  ContainerRecord record;
  record.set_state(ContainerRecord::CREATING);
  record.set_sandbox_id(pod.id.str());
  record.set_config(DeterministicBytes(config));
  record.set_boot_id(core.facts.boot_id);
  record.set_created_at(WallNanos());
  record.set_cgroups_path(absl::StrCat(of_pod.cgroup_parent(), "/", id.str()));
  record.set_log_path(LogFile(ConfigOf(of_pod).log_directory(), config.log_path()));
  record.set_made_log(TopmostMissing(record.log_path()));
  return record;
}

}  // namespace

absl::StatusOr<ContainerPlan> PlanContainer(Core& core, const ContainerId& id, const Pod& pod,
                                            const cri::ContainerConfig& config) {
  const image::ImagePtr image = core.images.Find(config.image().image());
  if (image == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("find image \"", config.image().image(), "\": it is not on this node"));
  }
  ContainerPlan plan;
  const SandboxRecord of_pod = pod.view()->record;
  const cri::PodSandboxConfig pod_config = ConfigOf(of_pod);
  plan.record = IntentRecord(core, id, pod, config);
  plan.layers = image->layers;
  plan.lowers = core.images.LowerPaths(image->layers);
  ASSIGN_OR_RETURN(
      plan.built,
      BuildSpec(core,
                SpecInputs{config, pod_config, of_pod, paths::PodDir(core.options, pod.id), *image,
                           Absolute(core.options, plan.lowers), plan.record.cgroups_path()}));
  ASSIGN_OR_RETURN(plan.seccomp, SeccompOf(core, plan.built));
  ASSIGN_OR_RETURN(const StopSignal stop,
                   ResolveStopSignal(config.stop_signal(), image->config.stop_signal));
  plan.record.set_stop_signal(stop.cri);
  plan.record.set_stop_signo(stop.signo);
  const shim::oci::User& user = plan.built.spec.process.user;
  plan.record.set_uid(user.uid);
  plan.record.set_gid(user.gid);
  for (gid_t group : user.additional_gids) plan.record.add_groups(group);
  FillImage(*image, config.image().image(), &plan.record);
  plan.log_directory = pod_config.log_directory();
  plan.log_path = config.log_path();
  plan.keep_stdin_open = config.stdin();
  return plan;
}

}  // namespace berth::sandbox

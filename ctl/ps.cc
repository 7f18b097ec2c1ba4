#include <map>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "ctl/args.h"
#include "ctl/commands.h"
#include "ctl/output.h"
#include "ctl/table.h"

namespace berth::ctl {
namespace {

std::string Short(const std::string& id) { return id.substr(0, 13); }

// "CONTAINER_RUNNING" -> "running".
std::string StateName(const std::string& name) {
  return absl::AsciiStrToLower(name.substr(name.find('_') + 1));
}

std::string ImageName(const cri::Container& container) {
  const cri::ImageSpec& spec = container.image();
  return spec.user_specified_image().empty() ? spec.image() : spec.user_specified_image();
}

std::string PodName(const cri::PodSandbox& pod) {
  return absl::StrCat(pod.metadata().namespace_(), "/", pod.metadata().name());
}

}  // namespace

absl::StatusOr<int> Ps(const Context& context, const Words& words) {
  ASSIGN_OR_RETURN(const Args args, Args::Parse({{"quiet", 'q', false}}, words, Order::kAnywhere));
  if (!args.rest().empty()) return absl::InvalidArgumentError("ps takes no arguments");
  ASSIGN_OR_RETURN(const auto containers, context.cri->ListContainers());
  ASSIGN_OR_RETURN(const auto pods, context.cri->ListPods());
  std::map<std::string, cri::PodSandbox> by_id;
  for (const cri::PodSandbox& pod : pods.items()) by_id[pod.id()] = pod;
  std::set<std::string> shown;
  std::string ids;
  Table table({"CONTAINER", "NAME", "IMAGE", "STATE", "AGE", "POD", "POD NAME", "POD STATE"});
  for (const cri::Container& c : containers.containers()) {
    const cri::PodSandbox& pod = by_id[c.pod_sandbox_id()];
    shown.insert(c.pod_sandbox_id());
    absl::StrAppend(&ids, c.id(), "\n");
    table.Add({Short(c.id()), c.metadata().name(), ImageName(c),
               StateName(cri::ContainerState_Name(c.state())), Age(c.created_at()),
               Short(c.pod_sandbox_id()), PodName(pod),
               StateName(cri::PodSandboxState_Name(pod.state()))});
  }
  for (const cri::PodSandbox& pod : pods.items()) {
    if (shown.count(pod.id()) != 0) continue;
    table.Add({"-", "-", "-", "-", Age(pod.created_at()), Short(pod.id()), PodName(pod),
               StateName(cri::PodSandboxState_Name(pod.state()))});
  }
  RETURN_IF_ERROR(Print(args.Has("quiet") ? ids : table.Text()));
  return 0;
}

}  // namespace berth::ctl

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "ctl/args.h"
#include "ctl/commands.h"
#include "ctl/lookup.h"
#include "ctl/output.h"
#include "ctl/removal.h"

namespace berth::ctl {
namespace {

bool MadeByUs(const cri::PodSandbox& pod) {
  const auto label = pod.labels().find(kMadeByLabel);
  return label != pod.labels().end() && label->second == kMadeByValue;
}

// A word means a pod, or a container; a container whose pod `run` made takes the pod with it.
absl::Status RemoveOne(CriClient* client, const std::string& word, absl::Duration grace) {
  ASSIGN_OR_RETURN(const auto pods, client->ListPods());
  absl::StatusOr<cri::PodSandbox> pod = PickPod(pods, word);
  if (pod.ok()) return RemovePod(client, *pod, grace);
  if (!absl::IsNotFound(pod.status())) return pod.status();
  ASSIGN_OR_RETURN(const auto containers, client->ListContainers());
  const absl::StatusOr<cri::Container> container = PickContainer(containers, word);
  if (absl::IsNotFound(container.status())) {
    return absl::NotFoundError(absl::StrCat("remove ", word, ": no pod or container of that name"));
  }
  RETURN_IF_ERROR(container.status());
  pod = PickPod(pods, container->pod_sandbox_id());
  if (pod.ok() && MadeByUs(*pod)) return RemovePod(client, *pod, grace);
  return RemoveContainer(client, container->id(), grace);
}

}  // namespace

absl::StatusOr<int> Rm(const Context& context, const Words& words) {
  ASSIGN_OR_RETURN(const Args args, Args::Parse({{"force", 'f', false},
                                                 {"all", 'a', false},
                                                 {"everything", '\0', false},
                                                 {"time", 't', true}},
                                                words, Order::kAnywhere));
  ASSIGN_OR_RETURN(const int64_t seconds, args.Number("time", 10, 0, 86400));
  const bool sweep = args.Has("all") || args.Has("everything");
  if (sweep != args.rest().empty()) {
    return absl::InvalidArgumentError("rm needs pods or containers, or --all, or --everything");
  }
  const absl::Duration grace = args.Has("force") ? absl::ZeroDuration() : absl::Seconds(seconds);
  int failures = 0;
  const auto report = [&](const absl::Status& status) {
    if (status.ok()) return;
    ++failures;
    (void)PrintError(absl::StrCat("berthctl: ", status.message(), "\n"));  // the exit code says it
  };
  for (const std::string& word : args.rest()) report(RemoveOne(context.cri, word, grace));
  if (sweep) {
    ASSIGN_OR_RETURN(const auto pods, context.cri->ListPods());
    for (const cri::PodSandbox& pod : pods.items()) {
      if (args.Has("everything") || MadeByUs(pod)) report(RemovePod(context.cri, pod, grace));
    }
  }
  return failures == 0 ? 0 : 1;
}

}  // namespace berth::ctl

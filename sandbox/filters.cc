#include "sandbox/filters.h"

#include "absl/strings/match.h"

namespace berth::sandbox {
namespace {

using Labels = google::protobuf::Map<std::string, std::string>;

bool HasLabels(const Labels& labels, const Labels& wanted) {
  for (const auto& [key, value] : wanted) {
    const auto it = labels.find(key);
    if (it == labels.end() || it->second != value) return false;
  }
  return true;
}

}  // namespace

bool Matches(const PodView& pod, const cri::PodSandboxFilter& filter) {
  return absl::StartsWith(pod.status.id(), filter.id()) &&
         (!filter.has_state() || filter.state().state() == pod.status.state()) &&
         HasLabels(pod.status.labels(), filter.label_selector());
}

bool Matches(const ContainerView& container, const cri::ContainerFilter& filter) {
  return absl::StartsWith(container.status.id(), filter.id()) &&
         absl::StartsWith(container.record.sandbox_id(), filter.pod_sandbox_id()) &&
         (!filter.has_state() || filter.state().state() == container.status.state()) &&
         HasLabels(container.status.labels(), filter.label_selector());
}

}  // namespace berth::sandbox

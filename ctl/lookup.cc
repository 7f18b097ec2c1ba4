#include "ctl/lookup.h"

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace berth::ctl {
namespace {

constexpr size_t kShortestPrefix = 4;

bool IsRunning(const cri::Container& container) {
  return container.state() == cri::CONTAINER_RUNNING;
}
bool IsRunning(const cri::PodSandbox& pod) { return pod.state() == cri::SANDBOX_READY; }

// Those whose id is the word; else those of that name, the running ones first; else those whose id
// begins so.
template <typename Object, typename List>
std::vector<const Object*> Matches(const List& objects, const std::string& word) {
  std::vector<const Object*> named;
  std::vector<const Object*> running;
  std::vector<const Object*> prefixed;
  for (const Object& object : objects) {
    if (object.id() == word) return {&object};
    if (object.metadata().name() == word) (IsRunning(object) ? running : named).push_back(&object);
    if (word.size() >= kShortestPrefix && absl::StartsWith(object.id(), word)) {
      prefixed.push_back(&object);
    }
  }
  if (!running.empty()) return running;
  return named.empty() ? prefixed : named;
}

template <typename Object, typename List>
absl::StatusOr<Object> Pick(const List& objects, const std::string& word, absl::string_view kind) {
  const std::vector<const Object*> found = Matches<Object>(objects, word);
  if (found.size() == 1) return *found[0];
  if (found.empty()) return absl::NotFoundError(absl::StrCat("find ", kind, " ", word, ": none"));
  return absl::InvalidArgumentError(
      absl::StrCat("find ", kind, " ", word, ": ", found.size(), " fit, say which by its id"));
}

}  // namespace

absl::StatusOr<cri::Container> PickContainer(const cri::ListContainersResponse& containers,
                                             const std::string& word) {
  return Pick<cri::Container>(containers.containers(), word, "container");
}

absl::StatusOr<cri::PodSandbox> PickPod(const cri::ListPodSandboxResponse& pods,
                                        const std::string& word) {
  return Pick<cri::PodSandbox>(pods.items(), word, "pod");
}

}  // namespace berth::ctl

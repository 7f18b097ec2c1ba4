// Finds what an operator means by a word: an id, a name, or the beginning of an id.
// Thread-safe: no state.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "ctl/clients.h"

namespace berth::ctl {

// NotFound, or InvalidArgument when several fit, naming the word. Among containers of one name a
// running one is meant.
absl::StatusOr<cri::Container> PickContainer(const cri::ListContainersResponse& containers,
                                             const std::string& word);
absl::StatusOr<cri::PodSandbox> PickPod(const cri::ListPodSandboxResponse& pods,
                                        const std::string& word);

absl::StatusOr<cri::Container> FindContainer(CriClient* client, const std::string& word);

}  // namespace berth::ctl

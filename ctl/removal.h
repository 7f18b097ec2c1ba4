// Stops and removes pods and containers with what berthctl made beside them. Thread-safe: no state.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "ctl/clients.h"

namespace berth::ctl {

// Stop, then remove. What is gone already is success.
absl::Status RemoveContainer(CriClient* client, const std::string& id, absl::Duration grace);
// All its containers first, side by side in one grace period; then the pod. A pod that
// `berthctl run` made loses its log too.
absl::Status RemovePod(CriClient* client, const cri::PodSandbox& pod, absl::Duration grace);

}  // namespace berth::ctl

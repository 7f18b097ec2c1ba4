// The filters of the List calls: every given part must match. Pure functions.
#pragma once

#include "sandbox/container.h"
#include "sandbox/pod.h"

namespace berth::sandbox {

// Ids match by prefix, as crictl uses them.
bool Matches(const PodView& pod, const cri::PodSandboxFilter& filter);
bool Matches(const ContainerView& container, const cri::ContainerFilter& filter);

}  // namespace berth::sandbox

// What `berthctl run` asks CRI for: a pod, on the host's network or its own, and one container.
// Pure; thread-safe.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ctl/args.h"
#include "ctl/clients.h"

namespace berth::ctl {

struct RunRequest {
  std::string image;
  std::string name;
  std::string log_directory;
  cri::PodSandboxConfig pod;
  cri::ContainerConfig container;
  bool own_network = false;
  bool detach = false;
  bool remove = false;
};

const std::vector<FlagSpec>& RunFlags();

// `unique`: random hex digits, for the pod's uid and for a name that was not given.
// InvalidArgument names the flag or argument.
absl::StatusOr<RunRequest> MakeRunRequest(const Args& args, const std::string& unique);

}  // namespace berth::ctl

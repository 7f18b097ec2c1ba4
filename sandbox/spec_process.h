// CRI -> OCI "process": what runs, where, with which environment. Rules of image-spec, config.md
// ("Entrypoint", "Cmd") and of Kubernetes' command and args. Pure functions.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cri.pb.h"
#include "image/image_store.h"

namespace berth::sandbox {

namespace cri = ::runtime::v1;

// command replaces Entrypoint and drops the image's Cmd; args replace Cmd. InvalidArgument when
// nothing is left to run.
absl::StatusOr<std::vector<std::string>> ResolveCommand(const cri::ContainerConfig& config,
                                                        const image::ImageConfig& image);

// working_dir, else the image's, else "/".
absl::StatusOr<std::string> ResolveWorkingDir(const cri::ContainerConfig& config,
                                              const image::ImageConfig& image);

// Defaults (PATH, HOSTNAME, HOME, with a terminal TERM=xterm), then the image's, then the config's:
// the last one to name a key wins and keeps the place of the first. Values are bytes.
absl::StatusOr<std::vector<std::string>> ResolveEnv(const cri::ContainerConfig& config,
                                                    const image::ImageConfig& image,
                                                    const std::string& hostname,
                                                    const std::string& home);

}  // namespace berth::sandbox

// The commands of berth-oci, one file each. `words`: what follows the command's name. The value:
// the exit code.
#pragma once

#include "absl/status/statusor.h"
#include "shim/front/arguments.h"
#include "shim/front/options.h"

namespace berth::shim::front {

absl::StatusOr<int> Create(const Options& options, const Words& words);
absl::StatusOr<int> Start(const Options& options, const Words& words);
absl::StatusOr<int> Run(const Options& options, const Words& words);
absl::StatusOr<int> Kill(const Options& options, const Words& words);
absl::StatusOr<int> Delete(const Options& options, const Words& words);
absl::StatusOr<int> State(const Options& options, const Words& words);
absl::StatusOr<int> List(const Options& options, const Words& words);
absl::StatusOr<int> Exec(const Options& options, const Words& words);
absl::StatusOr<int> Ps(const Options& options, const Words& words);
absl::StatusOr<int> Pause(const Options& options, const Words& words);
absl::StatusOr<int> Resume(const Options& options, const Words& words);
absl::StatusOr<int> Update(const Options& options, const Words& words);
absl::StatusOr<int> Events(const Options& options, const Words& words);
absl::StatusOr<int> Features(const Options& options, const Words& words);
absl::StatusOr<int> Spec(const Options& options, const Words& words);

// The path as it is from the root, so that it stays the same wherever we go.
std::string Absolute(const std::string& path);

}  // namespace berth::shim::front

// berthctl's commands. Each takes its own words and returns the exit code, or an error that main
// prints. InvalidArgument from the words themselves is a usage error.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ctl/clients.h"

namespace berth::ctl {

struct Context {
  CriClient* cri;
  AdminClient* admin;
};
using Words = std::vector<std::string>;

// What berthctl itself fails with in `run` and `exec`, where other codes are the command's own.
constexpr int kOwnFailure = 125;

// Pods that `berthctl run` made carry this label.
inline constexpr char kMadeByLabel[] = "berth.io/made-by";
inline constexpr char kMadeByValue[] = "berthctl";

absl::StatusOr<int> Run(const Context& context, const Words& words);
absl::StatusOr<int> Exec(const Context& context, const Words& words);
absl::StatusOr<int> Logs(const Context& context, const Words& words);
absl::StatusOr<int> Ps(const Context& context, const Words& words);
absl::StatusOr<int> Stats(const Context& context, const Words& words);
absl::StatusOr<int> Rm(const Context& context, const Words& words);
absl::StatusOr<int> Image(const Context& context, const Words& words);
absl::StatusOr<int> State(const Context& context, const Words& words);
absl::StatusOr<int> Check(const Context& context, const Words& words);
absl::StatusOr<int> Metrics(const Context& context, const Words& words);
absl::StatusOr<int> Failpoints(const Context& context, const Words& words);

}  // namespace berth::ctl

// `update`'s resources: a JSON object as in linux.resources, then flags on top. Values;
// thread-safe.
#pragma once

#include "absl/status/statusor.h"
#include "base/os/cgroup.h"
#include "shim/front/arguments.h"

namespace berth::shim::front {

struct UpdateFlags {
  std::string id;
  os::CgroupLimits limits;
};
// "-" reads standard input. InvalidArgument names the flag or the JSON path.
absl::StatusOr<UpdateFlags> ParseUpdateFlags(const Words& words);

}  // namespace berth::shim::front

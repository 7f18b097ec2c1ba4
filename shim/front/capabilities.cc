#include "shim/front/capabilities.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace berth::shim::front {

void DropUngrantable(oci::Capabilities* capabilities) {
  const auto has = [](const std::vector<std::string>& set, const std::string& name) {
    return std::find(set.begin(), set.end(), name) != set.end();
  };
  std::vector<std::string> granted;
  for (const std::string& name : capabilities->ambient) {
    if (has(capabilities->permitted, name) && has(capabilities->inheritable, name)) {
      granted.push_back(name);
    } else {
      LogWarning(absl::StrCat("process.capabilities.ambient: ", name,
                              " is not permitted and inheritable: left out"));
    }
  }
  capabilities->ambient = std::move(granted);
}

}  // namespace berth::shim::front

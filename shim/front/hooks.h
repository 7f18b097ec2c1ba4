// Hooks that run in the runtime's namespaces: prestart, createRuntime, poststart, poststop
// (config.md, "POSIX-platform Hooks"). Thread-safe: no state.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "shim/oci/spec.h"

namespace berth::shim::front {

// One after the other, each with the state on its standard input and its environment exactly as
// given; the first failure ends it: "hooks.prestart[1]: /bin/x: exit status 3: what it said".
absl::Status RunHooks(const char* kind, const std::vector<oci::Hook>& hooks,
                      const std::string& state);
// All of them; failures are logged as warnings.
void RunHooksToTheEnd(const char* kind, const std::vector<oci::Hook>& hooks,
                      const std::string& state);

}  // namespace berth::shim::front

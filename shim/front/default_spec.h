// The config.json that `spec` writes: a shell in namespaces of its own, with few capabilities.
#pragma once

#include <string>

namespace berth::shim::front {

std::string DefaultSpec();

}  // namespace berth::shim::front

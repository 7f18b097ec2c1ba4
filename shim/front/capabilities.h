// Capabilities that a spec asks for and the kernel cannot give. Stateless.
#pragma once

#include "shim/oci/spec.h"

namespace berth::shim::front {

// What cannot be granted is warned of and left out (config.md, "capabilities"): the kernel has no
// ambient capability that is not permitted and inheritable, too.
void DropUngrantable(oci::Capabilities* capabilities);

}  // namespace berth::shim::front

// What a text may contain before it goes into a path, a file or a process. Pure functions.
#pragma once

#include "absl/strings/string_view.h"

namespace berth::sandbox {

// A byte below 0x20, or 0x7f: never in a host name, HOME, resolver entry, path or log name.
bool HasControlByte(absl::string_view text);
// Absolute, no empty, "." or ".." component, no trailing slash but for "/" itself.
bool IsCleanAbsolutePath(absl::string_view path);
// Relative, not empty, and stays below where it starts: no empty, "." or ".." component.
bool IsCleanRelativePath(absl::string_view path);

}  // namespace berth::sandbox

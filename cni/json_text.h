// JSON as text: checks and pieces that no header of ours shows as a JSON library's type.
// Pure functions; thread-safe.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace berth::cni {

// InvalidArgument "line 3, column 7: <what>" when it is not one JSON value, or nested deeper than
// 64 levels (what walks the value later recurses).
absl::Status CheckJson(absl::string_view text);

// One printable ASCII line of at most `max` bytes, for a message that quotes a program's output.
std::string Excerpt(absl::string_view text, size_t max);

// As a JSON string, with the quotes.
std::string JsonString(absl::string_view text);

}  // namespace berth::cni

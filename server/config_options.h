// The one table of configuration keys: parsing, flags, --print-config and the test that holds
// docs/operations.md against it all walk it. Immutable; thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "server/config.h"

namespace berth::server {

// How a key's value is checked and where it goes. Times and sizes are whole numbers of the unit
// that the key's name ends in.
struct TextOption {
  std::string& (*field)(Config&);
  enum class Check { kAny, kAbsolutePath, kOptionalPath, kWord } check = Check::kAny;
};
struct NumberOption {
  int64_t& (*field)(Config&);
  int64_t min = 0;
  int64_t max = 0;
  int64_t unit = 1;  // bytes in one of the key's unit
};
struct DurationOption {
  absl::Duration& (*field)(Config&);
  absl::Duration unit;
  int64_t min = 0;
  int64_t max = 0;
};
struct SwitchOption {
  bool& (*field)(Config&);
};
struct ChoiceOption {
  std::vector<absl::string_view> choices;
  void (*set)(Config&, size_t index);
  size_t (*get)(const Config&);
};

struct Option {
  absl::string_view key;   // "server.cri_socket"
  absl::string_view flag;  // "cri-socket", or "" when only the file can set it
  std::variant<TextOption, NumberOption, DurationOption, SwitchOption, ChoiceOption> kind;
  absl::string_view help;
};

const std::vector<Option>& Options();
// nullptr: no such key, or flag.
const Option* FindKey(absl::string_view key);
const Option* FindFlag(absl::string_view flag);

// Each sets one value. InvalidArgument says what the value must be; the caller adds where and key.
absl::Status SetText(const Option& option, absl::string_view value, Config* config);
absl::Status SetNumber(const Option& option, int64_t value, Config* config);
absl::Status SetSwitch(const Option& option, bool value, Config* config);
// From a flag: the text is read as the option's kind wants.
absl::Status SetFromFlag(const Option& option, absl::string_view text, Config* config);

// The value as TOML writes it.
std::string ValueText(const Option& option, const Config& config);

}  // namespace berth::server

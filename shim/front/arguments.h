// Command lines as runc reads them: flags stand before the first word that is none; "--name value",
// "--name=value", with one dash or two; a switch takes a value only behind "=". "--" ends the
// flags. Values; thread-safe.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth::shim::front {

using Words = std::vector<std::string>;

struct Flag {
  enum Kind { kSwitch, kText };
  const char* name;
  char letter = 0;  // 0 = none
  Kind kind = kText;
};

class Arguments {
 public:
  // InvalidArgument: an unknown flag, one without its value, a switch that is neither true nor
  // false.
  static absl::StatusOr<Arguments> Parse(const Words& words, std::initializer_list<Flag> known);

  bool Has(const char* name) const { return values_.count(name) != 0; }
  bool IsOn(const char* name) const;
  // The last one given.
  std::string Text(const char* name, absl::string_view otherwise = "") const;
  // All that were given, in their order.
  Words List(const char* name) const;
  // InvalidArgument: it is no number.
  absl::StatusOr<std::optional<int64_t>> Number(const char* name) const;

  // What stands after the flags.
  const Words& words() const { return words_; }
  // InvalidArgument: there are fewer or more.
  absl::Status Expect(size_t min, size_t max) const;

 private:
  std::map<std::string, Words> values_;
  Words words_;
};

}  // namespace berth::shim::front

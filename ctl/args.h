// Args: a command's flags and arguments. A value type.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace berth::ctl {

struct FlagSpec {
  std::string name;    // "name" for --name
  char letter = '\0';  // 'n' for -n
  bool has_value = true;
};

enum class Order {
  kAnywhere,       // flags and arguments may mix; "--" ends the flags
  kBeforeTheRest,  // the first argument ends the flags: what follows is somebody else's command
};

class Args {
 public:
  // InvalidArgument names the flag that is unknown, lacks its value, or has one it does not take.
  static absl::StatusOr<Args> Parse(const std::vector<FlagSpec>& specs,
                                    const std::vector<std::string>& args, Order order);

  bool Has(const std::string& flag) const { return values_.count(flag) != 0; }
  // The last one given.
  std::string Value(const std::string& flag, const std::string& otherwise = "") const;
  std::vector<std::string> Values(const std::string& flag) const;
  // A whole number; InvalidArgument when it is none or out of range.
  absl::StatusOr<int64_t> Number(const std::string& flag, int64_t otherwise, int64_t min,
                                 int64_t max) const;
  const std::vector<std::string>& rest() const { return rest_; }

 private:
  std::map<std::string, std::vector<std::string>> values_;
  std::vector<std::string> rest_;
};

}  // namespace berth::ctl

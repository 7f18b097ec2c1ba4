#include "ctl/args.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace berth::ctl {
namespace {

absl::Status Usage(absl::string_view flag, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("flag ", flag, " ", what));
}

const FlagSpec* Find(const std::vector<FlagSpec>& specs, const std::string& name) {
  const auto it = std::find_if(specs.begin(), specs.end(), [&](const FlagSpec& spec) {
    return name.size() == 1 ? spec.letter == name[0] : spec.name == name;
  });
  return it == specs.end() ? nullptr : &*it;
}

}  // namespace

absl::StatusOr<Args> Args::Parse(const std::vector<FlagSpec>& specs,
                                 const std::vector<std::string>& args, Order order) {
  Args parsed;
  for (size_t i = 0; i < args.size(); ++i) {
    const std::string& word = args[i];
    const bool is_flag = word.size() > 1 && word[0] == '-';
    if (word == "--" || (!is_flag && order == Order::kBeforeTheRest)) {
      parsed.rest_.insert(parsed.rest_.end(),
                          args.begin() + static_cast<ptrdiff_t>(i + (word == "--" ? 1 : 0)),
                          args.end());
      return parsed;
    }
    if (!is_flag) {
      parsed.rest_.push_back(word);
      continue;
    }
    const size_t dashes = word[1] == '-' ? 2 : 1;
    const size_t equals = dashes == 2 ? word.find('=') : std::string::npos;
    const std::string shown = word.substr(0, equals);
    const std::string name = shown.substr(dashes);
    const FlagSpec* spec = (dashes == 1) == (name.size() == 1) ? Find(specs, name) : nullptr;
    if (spec == nullptr) return Usage(shown, "is unknown");
    if (!spec->has_value) {
      if (equals != std::string::npos) return Usage(shown, "takes no value");
      parsed.values_[spec->name].push_back("");
    } else if (equals != std::string::npos) {
      parsed.values_[spec->name].push_back(word.substr(equals + 1));
    } else if (i + 1 < args.size()) {
      parsed.values_[spec->name].push_back(args[++i]);
    } else {
      return Usage(shown, "needs a value");
    }
  }
  return parsed;
}

std::string Args::Value(const std::string& flag, const std::string& otherwise) const {
  const auto it = values_.find(flag);
  return it == values_.end() ? otherwise : it->second.back();
}

std::vector<std::string> Args::Values(const std::string& flag) const {
  const auto it = values_.find(flag);
  return it == values_.end() ? std::vector<std::string>() : it->second;
}

absl::StatusOr<int64_t> Args::Number(const std::string& flag, int64_t otherwise, int64_t min,
                                     int64_t max) const {
  if (!Has(flag)) return otherwise;
  int64_t number = 0;
  if (!absl::SimpleAtoi(Value(flag), &number) || number < min || number > max) {
    return Usage(absl::StrCat("--", flag),
                 absl::StrCat("must be a whole number from ", min, " to ", max));
  }
  return number;
}

}  // namespace berth::ctl

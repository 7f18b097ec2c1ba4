#include "sandbox/quantity.h"

#include <cmath>
#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace berth::sandbox {
namespace {

// The factor of a suffix; 0 for one that is none.
double Factor(absl::string_view suffix) {
  static const auto* const kFactors = new std::map<absl::string_view, double>{
      {"", 1},        {"n", 1e-9},    {"u", 1e-6},    {"m", 1e-3},
      {"k", 1e3},     {"M", 1e6},     {"G", 1e9},     {"T", 1e12},
      {"P", 1e15},    {"E", 1e18},    {"Ki", 0x1p10}, {"Mi", 0x1p20},
      {"Gi", 0x1p30}, {"Ti", 0x1p40}, {"Pi", 0x1p50}, {"Ei", 0x1p60},
  };
  const auto it = kFactors->find(suffix);
  if (it != kFactors->end()) return it->second;
  int exponent = 0;
  const bool decimal = suffix.size() > 1 && (suffix[0] == 'e' || suffix[0] == 'E') &&
                       absl::SimpleAtoi(suffix.substr(1), &exponent) && exponent >= -18 &&
                       exponent <= 18;
  return decimal ? std::pow(10, exponent) : 0;
}

}  // namespace

absl::StatusOr<uint64_t> ParseQuantity(absl::string_view text) {
  const size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
  double number = 0;
  const double factor = Factor(text.substr(digits));
  const bool good = digits > 0 && factor > 0 && absl::SimpleAtod(text.substr(0, digits), &number);
  const double value = std::ceil(number * factor);
  if (!good || !(value < 0x1p63)) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not a quantity"));
  }
  return static_cast<uint64_t>(value);
}

}  // namespace berth::sandbox

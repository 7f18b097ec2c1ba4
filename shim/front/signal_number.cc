#include "shim/front/signal_number.h"

#include <signal.h>
#include <string.h>

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace berth::shim::front {
namespace {

constexpr int kLast = 64;
// The kernel's: libc keeps two of them to itself, a container's program may not.
constexpr int kFirstRealTime = 34;

// "RTMIN+3" or "RTMAX-2"; 0 = neither.
int RealTime(absl::string_view name) {
  const bool from_start = absl::ConsumePrefix(&name, "RTMIN");
  if (!from_start && !absl::ConsumePrefix(&name, "RTMAX")) return 0;
  int offset = 0;
  if (!name.empty() && !absl::SimpleAtoi(name, &offset)) return 0;
  return (from_start ? kFirstRealTime : kLast) + offset;
}

}  // namespace

absl::StatusOr<int> SignalNumber(absl::string_view name) {
  int number = 0;
  std::string upper = absl::AsciiStrToUpper(name);
  if (!absl::SimpleAtoi(name, &number)) {
    absl::string_view bare = upper;
    (void)absl::ConsumePrefix(&bare, "SIG");
    if (bare == "IOT") bare = "ABRT";
    if (bare == "CLD") bare = "CHLD";
    if (bare == "POLL") bare = "IO";
    number = RealTime(bare);
    for (int i = 1; number == 0 && i < kFirstRealTime; ++i) {
      const char* known = sigabbrev_np(i);
      if (known == nullptr) continue;
      if (bare == known || (bare == "IO" && i == SIGIO)) number = i;
    }
  }
  if (number >= 1 && number <= kLast) return number;
  return absl::InvalidArgumentError(absl::StrCat("unknown signal: ", name));
}

}  // namespace berth::shim::front

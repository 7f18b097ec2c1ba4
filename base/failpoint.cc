#include "base/failpoint.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/mutex.h"

// Weak: a program without a single failpoint has no such section.
// NOLINTBEGIN(bugprone-reserved-identifier): the linker gives them their names
extern "C" {
extern const char* const __start_berth_failpoints[] __attribute__((weak));
extern const char* const __stop_berth_failpoints[] __attribute__((weak));
}
// NOLINTEND(bugprone-reserved-identifier)

namespace berth::failpoint {
namespace {

enum class Action { kOff, kError, kKill, kDelay };

struct Term {
  Action action = Action::kOff;
  int64_t count = -1;  // -1: for ever
  int64_t millis = 0;
};

Mutex g_mu;
std::map<std::string, std::deque<Term>>& Plans() ABSL_EXCLUSIVE_LOCKS_REQUIRED(g_mu) {
  static auto* plans = new std::map<std::string, std::deque<Term>>;
  return *plans;
}

bool ParseTerm(absl::string_view text, Term* term) {
  std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits('*', 1));
  absl::string_view action = text;
  if (!parts.second.empty()) {
    if (!absl::SimpleAtoi(parts.first, &term->count) || term->count < 1) return false;
    action = parts.second;
  }
  if (action == "off") {
    term->action = Action::kOff;
  } else if (action == "error") {
    term->action = Action::kError;
  } else if (action == "kill") {
    term->action = Action::kKill;
  } else if (absl::ConsumePrefix(&action, "delay(") && absl::ConsumeSuffix(&action, ")")) {
    term->action = Action::kDelay;
    return absl::SimpleAtoi(action, &term->millis) && term->millis >= 0;
  } else {
    return false;
  }
  return true;
}

}  // namespace

std::vector<std::string> List() {
  std::vector<std::string> names(__start_berth_failpoints, __stop_berth_failpoints);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

absl::Status Configure(absl::string_view plan) {
  std::map<std::string, std::deque<Term>> parsed;
  const std::vector<std::string> known = List();
  for (absl::string_view entry : absl::StrSplit(plan, ';', absl::SkipEmpty())) {
    std::pair<std::string, absl::string_view> kv = absl::StrSplit(entry, absl::MaxSplits('=', 1));
    if (!std::binary_search(known.begin(), known.end(), kv.first)) {
      return absl::InvalidArgumentError(absl::StrCat("unknown failpoint \"", kv.first, "\""));
    }
    // Without '=' the second is a null view, which StrSplit takes for no terms at all.
    const std::string terms(kv.second);
    for (absl::string_view text : absl::StrSplit(terms, "->")) {
      Term term;
      if (!ParseTerm(text, &term)) {
        return absl::InvalidArgumentError(
            absl::StrCat("failpoint ", kv.first, ": bad action \"", text, "\""));
      }
      parsed[kv.first].push_back(term);
    }
  }
  MutexLock lock(&g_mu);
  Plans() = std::move(parsed);
  return absl::OkStatus();
}

absl::Status Hit(absl::string_view name) {
  Term term;
  {
    MutexLock lock(&g_mu);
    auto it = Plans().find(std::string(name));
    if (it == Plans().end() || it->second.empty()) return absl::OkStatus();
    Term& front = it->second.front();
    term = front;
    if (front.count > 0 && --front.count == 0) it->second.pop_front();
  }
  switch (term.action) {
    case Action::kOff:
      return absl::OkStatus();
    case Action::kError:
      return absl::InternalError(absl::StrCat("failpoint ", name));
    case Action::kKill:
      (void)kill(getpid(), SIGKILL);  // does not return
      return absl::OkStatus();
    case Action::kDelay:
      std::this_thread::sleep_for(std::chrono::milliseconds(term.millis));
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

}  // namespace berth::failpoint

#include "sandbox/stop_signal.h"

#include <csignal>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "sandbox/unimplemented.h"

namespace berth::sandbox {
namespace {

// As C libraries number them for programs: two below are theirs.
constexpr int kRtMin = 34;
constexpr int kRtMax = 64;

constexpr std::pair<const char*, int> kNames[] = {
    {"ABRT", SIGABRT}, {"ALRM", SIGALRM}, {"BUS", SIGBUS},       {"CHLD", SIGCHLD},
    {"CLD", SIGCHLD},  {"CONT", SIGCONT}, {"FPE", SIGFPE},       {"HUP", SIGHUP},
    {"ILL", SIGILL},   {"INT", SIGINT},   {"IO", SIGIO},         {"IOT", SIGIOT},
    {"KILL", SIGKILL}, {"PIPE", SIGPIPE}, {"POLL", SIGPOLL},     {"PROF", SIGPROF},
    {"PWR", SIGPWR},   {"QUIT", SIGQUIT}, {"SEGV", SIGSEGV},     {"STKFLT", SIGSTKFLT},
    {"STOP", SIGSTOP}, {"SYS", SIGSYS},   {"TERM", SIGTERM},     {"TRAP", SIGTRAP},
    {"TSTP", SIGTSTP}, {"TTIN", SIGTTIN}, {"TTOU", SIGTTOU},     {"URG", SIGURG},
    {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {"VTALRM", SIGVTALRM}, {"WINCH", SIGWINCH},
    {"XCPU", SIGXCPU}, {"XFSZ", SIGXFSZ}};

// "RTMIN", "RTMIN+3", "RTMAX-1"; 0 when it is none.
int RealTimeSignal(absl::string_view name) {
  int base = 0;
  if (absl::ConsumePrefix(&name, "RTMIN")) {
    base = kRtMin;
  } else if (absl::ConsumePrefix(&name, "RTMAX")) {
    base = kRtMax;
  } else {
    return 0;
  }
  int offset = 0;
  if (!name.empty() && ((name[0] != '+' && name[0] != '-') || !absl::SimpleAtoi(name, &offset))) {
    return 0;
  }
  const int signo = base + offset;
  return signo >= kRtMin && signo <= kRtMax ? signo : 0;
}

// SIGNAL_SIGRTMINPLUS3 -> "SIGRTMIN+3".
std::string TextOf(cri::Signal signal) {
  std::string text = cri::Signal_Name(signal);
  return absl::StrReplaceAll(absl::StripPrefix(text, "SIGNAL_"), {{"PLUS", "+"}, {"MINUS", "-"}});
}

// SIGNAL_RUNTIME_DEFAULT when CRI has no word for it.
cri::Signal ToCriSignal(int signo) {
  for (int value = cri::SIGNAL_SIGABRT; value <= cri::SIGNAL_SIGRTMAX; ++value) {
    const auto signal = static_cast<cri::Signal>(value);
    const absl::StatusOr<int> number = ParseSignal(TextOf(signal));
    if (number.ok() && *number == signo) return signal;
  }
  return cri::SIGNAL_RUNTIME_DEFAULT;
}

}  // namespace

absl::StatusOr<int> ParseSignal(absl::string_view text) {
  int number = 0;
  if (absl::SimpleAtoi(text, &number)) {
    if (number >= 1 && number <= kRtMax) return number;
    return Invalid("stop signal", absl::StrCat("\"", text, "\" is not a signal"));
  }
  const std::string upper = absl::AsciiStrToUpper(text);
  const absl::string_view name = absl::StripPrefix(upper, "SIG");
  for (const auto& [known, signo] : kNames) {
    if (name == known) return signo;
  }
  if (const int signo = RealTimeSignal(name); signo != 0) return signo;
  return Invalid("stop signal", absl::StrCat("\"", text, "\" is not a signal"));
}

absl::StatusOr<StopSignal> ResolveStopSignal(cri::Signal asked, absl::string_view image) {
  if (asked != cri::SIGNAL_RUNTIME_DEFAULT) {
    if (!cri::Signal_IsValid(asked)) {
      return NotOffered("config.stop_signal", static_cast<int>(asked));
    }
    ASSIGN_OR_RETURN(const int signo, ParseSignal(TextOf(asked)));
    return StopSignal{asked, signo};
  }
  if (image.empty()) return StopSignal{};
  ASSIGN_OR_RETURN_CTX(const int signo, ParseSignal(image), "image config");
  return StopSignal{ToCriSignal(signo), signo};
}

}  // namespace berth::sandbox

// oci_run ROUNDS NAME=COMMAND...: times commands side by side, each started by posix_spawn and
// waited for, in turn, with a pause of 20 ms before each (a tight loop would hide the cgroup lock's
// grace period). COMMAND is split at spaces; one that begins with "!FILE " removes FILE before each
// sample, untimed. Prints medians, minima and the medians' ratio to the last command's.
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"

namespace berth::bench {
namespace {

constexpr int kPauseMs = 20;

struct Command {
  std::string name;
  std::string removed;  // a file or directory, before each sample; empty: nothing
  std::vector<std::string> arguments;
  std::vector<double> milliseconds;
};

Command Parse(absl::string_view argument) {
  Command command;
  const std::pair<absl::string_view, absl::string_view> halves =
      absl::StrSplit(argument, absl::MaxSplits('=', 1));
  command.name = std::string(halves.first);
  std::vector<std::string> words = absl::StrSplit(halves.second, ' ', absl::SkipEmpty());
  if (!words.empty() && absl::StartsWith(words[0], "!")) {
    command.removed = words[0].substr(1);
    words.erase(words.begin());
  }
  command.arguments = std::move(words);
  return command;
}

bool Sample(Command& command) {
  if (!command.removed.empty()) {
    std::error_code ignored;  // absent before the first sample
    std::filesystem::remove_all(command.removed, ignored);
  }
  std::vector<char*> argv;
  for (std::string& word : command.arguments) argv.push_back(word.data());
  argv.push_back(nullptr);
  (void)poll(nullptr, 0, kPauseMs);
  const absl::Time start = absl::Now();
  pid_t pid = 0;
  if (posix_spawn(&pid, argv[0], nullptr, nullptr, argv.data(), environ) != 0) return false;
  int status = 0;
  if (waitpid(pid, &status, 0) != pid || status != 0) {
    (void)std::fprintf(stderr, "%s ended with status %d\n", command.name.c_str(), status);
    return false;
  }
  command.milliseconds.push_back(absl::ToDoubleMilliseconds(absl::Now() - start));
  return true;
}

double Median(const std::vector<double>& sorted) { return sorted[sorted.size() / 2]; }

int Run(int argc, char** argv) {
  int rounds = 0;
  if (argc < 3 || !absl::SimpleAtoi(argv[1], &rounds) || rounds < 1) {
    (void)std::fprintf(stderr, "usage: oci_run ROUNDS NAME=COMMAND...\n");
    return 2;
  }
  std::vector<Command> commands;
  for (int i = 2; i < argc; ++i) commands.push_back(Parse(argv[i]));
  // The first round warms up what is read from disk and is not counted.
  for (int round = 0; round <= rounds; ++round) {
    for (Command& command : commands) {
      if (!Sample(command)) return 1;
      if (round == 0) command.milliseconds.clear();
    }
  }
  for (Command& command : commands) {
    std::sort(command.milliseconds.begin(), command.milliseconds.end());
  }
  const double reference = Median(commands.back().milliseconds);
  std::printf("%-28s %10s %10s %10s\n", "", "median ms", "min ms", "ratio");
  for (const Command& command : commands) {
    const double median = Median(command.milliseconds);
    std::printf("%-28s %10.2f %10.2f %10.2f\n", command.name.c_str(), median,
                command.milliseconds.front(), median / reference);
  }
  return 0;
}

}  // namespace
}  // namespace berth::bench

int main(int argc, char** argv) { return berth::bench::Run(argc, argv); }

// RunProgram: starts a helper program, gives it its input, takes what it prints, and ends it and
// what it started when its time is over. For CNI plugins and their like.
// Thread-safe. Blocks the calling thread until the program has ended.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"

namespace berth::os {

struct Program {
  std::string path;
  std::vector<std::string> argv;
  std::vector<std::string> env;
  std::string input;            // all of standard input, a file that can be read again
  size_t max_output = 1 << 20;  // bytes of standard output; more of it ends the program
  size_t max_errors = 4 << 10;  // bytes of standard error that are kept; the rest is dropped
};

enum class ProgramEnd {
  kEnded,          // by itself, or by somebody else's signal: see `status`
  kOutOfTime,      // killed by us
  kTooMuchOutput,  // killed by us
};

struct ProgramResult {
  ProgramEnd end = ProgramEnd::kEnded;
  int status = 0;  // waitpid's
  std::string output;
  std::string errors;
};

// The program leads a session and so a process group of its own; when it is killed the group goes
// with it. Once it has ended nobody waits for children of it that hold its output open. Fails with
// the errno of the step when it could not be started.
absl::StatusOr<ProgramResult> RunProgram(const Program& program, Deadline deadline);

}  // namespace berth::os

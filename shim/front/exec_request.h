// From `exec`'s command line to the process that it means. Values; thread-safe.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "shim/front/arguments.h"
#include "shim/oci/spec.h"

namespace berth::shim::front {

struct ExecFlags {
  std::string id;
  std::string process_file;    // "" = the words after the id
  std::string pid_file;        // "" = none
  std::string console_socket;  // "" = none
  std::string cgroup;          // below the container's
  bool detach = false;
  bool ignore_paused = false;
  int preserve_fds = 0;
  Arguments arguments;  // what changes the process
};

absl::StatusOr<ExecFlags> ParseExecFlags(const Words& words);

// `in`: the container's own process. With a process file that is read, else the flags change a
// copy.
absl::StatusOr<oci::Process> ProcessOf(const ExecFlags& flags, const oci::Process& in);

}  // namespace berth::shim::front

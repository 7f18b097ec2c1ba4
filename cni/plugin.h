// A plugin: one program, started once per command with its arguments in the environment and its
// configuration on standard input (CNI specification 1.1 section 2).
// Thread-safe; a call blocks until the program has ended or its deadline is over.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "base/os/run_program.h"
#include "cni/version.h"

namespace berth::cni {

// The arguments that all plugins of a list get alike.
struct Invocation {
  std::string network;  // for messages
  std::string container_id;
  std::string netns;  // "" = gone
  std::string if_name;
  std::string args;  // "A=1;B=2"
};

class Plugins {
 public:
  explicit Plugins(std::vector<std::string> bin_dirs);

  // FailedPrecondition with the directories when no directory has such a program.
  absl::StatusOr<std::string> Find(const std::string& type) const;

  // Runs `command` and returns what the plugin printed. Each error names plugin, command, network
  // and cause, and has the beginning of standard error:
  //   FailedPrecondition  no such program, or the plugin refuses its configuration or arguments
  //   Unavailable         the plugin says "try again later"
  //   DeadlineExceeded    it hung, and was killed with what it had started
  //   Internal            any other failure, death by a signal, too much output
  absl::StatusOr<std::string> Run(const std::string& type, const std::string& command,
                                  const Invocation& invocation, const std::string& input,
                                  Deadline deadline) const;

  // By the VERSION command, once for each program file: a replaced one is asked again. Errors are
  // those of a plugin that cannot be run at all.
  absl::StatusOr<PluginVersions> Versions(const std::string& type, const std::string& network,
                                          Deadline deadline);

 private:
  struct Answer {
    std::string file;  // identity of the program file that gave it
    PluginVersions versions;
  };

  absl::StatusOr<os::ProgramResult> Start(const std::string& type, const std::string& command,
                                          const Invocation& invocation, const std::string& input,
                                          Deadline deadline) const;

  const std::vector<std::string> bin_dirs_;
  Mutex mu_;
  std::map<std::string, Answer> answers_ ABSL_GUARDED_BY(mu_);  // by path
};

}  // namespace berth::cni

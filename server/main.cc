// berthd: reads the configuration, starts the daemon, waits for signals.
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "server/config_load.h"
#include "server/daemon.h"
#include "server/logging.h"
#include "server/process_limits.h"
#include "server/sd_notify.h"

namespace berth::server {
namespace {

int Fail(const absl::Status& status) {
  (void)fprintf(stderr, "berthd: %s\n", std::string(status.message()).c_str());
  return 1;
}

void Notify(const std::string& socket, absl::string_view state) {
  const absl::Status status = SdNotify(socket, state);
  if (!status.ok()) LogWarning("cannot notify the service manager", {{"error", status.message()}});
}

// The level is what can change while the daemon runs; a bad file changes nothing.
void Reload(const CommandLine& command_line, Logging* logging) {
  const absl::StatusOr<Config> config = LoadConfig(command_line);
  if (!config.ok()) {
    LogError("configuration is not reloaded", {{"error", config.status().message()}});
    return;
  }
  logging->SetLevel(config->log.level);
  LogInfo("configuration reloaded", {{"applied", "log.level"}});
}

int Serve(const CommandLine& command_line, const Config& config, const std::string& notify) {
  Logging logging(config.log);
  LimitMallocArenas();
  const FileLimit file_limit = RaiseFileLimit();
  SetOomScore(config.runtime.oom_score_adj);
  LogInfo("starting", {{"version", BERTH_VERSION},
                       {"pid", getpid()},
                       {"data_dir", config.data_dir},
                       {"run_dir", config.run_dir}});
  absl::StatusOr<std::unique_ptr<Daemon>> daemon = Daemon::Start(config, file_limit);
  if (!daemon.ok()) {
    LogError("cannot start", {{"code", absl::StatusCodeToString(daemon.status().code())},
                              {"error", daemon.status().message()}});
    return 1;
  }
  Notify(notify, "READY=1\nSTATUS=serving");
  int signo = WaitForSignal();
  for (; signo == SIGHUP; signo = WaitForSignal()) Reload(command_line, &logging);
  Notify(notify, "STOPPING=1");
  LogInfo("stopping", {{"signal", signo == SIGTERM ? "SIGTERM" : "SIGINT"}});
  const bool idle = (*daemon)->Stop();
  LogInfo("stopped");
  // A handler that still waits uses what destructors would take away; the kernel takes it all.
  if (!idle) _exit(0);
  return 0;
}

int Main(const std::vector<std::string>& args, const std::string& notify) {
  const absl::StatusOr<CommandLine> command_line = ParseCommandLine(args);
  if (!command_line.ok()) {
    (void)Fail(command_line.status());
    return 2;
  }
  if (command_line->mode == Mode::kVersion) return printf("berthd %s\n", BERTH_VERSION), 0;
  if (command_line->mode == Mode::kHelp) return printf("%s", HelpText().c_str()), 0;
  const absl::StatusOr<Config> config = LoadConfig(*command_line);
  if (!config.ok()) return Fail(config.status());
  if (command_line->mode == Mode::kCheckConfig) return printf("configuration is good\n"), 0;
  if (command_line->mode == Mode::kPrintConfig) return printf("%s", Print(*config).c_str()), 0;
  if (geteuid() != 0) return Fail(absl::FailedPreconditionError("root is needed"));
#if BERTH_FAILPOINTS
  if (absl::Status s = failpoint::Configure(config->failpoints); !s.ok()) return Fail(s);
#endif
  return Serve(*command_line, *config, notify);
}

}  // namespace
}  // namespace berth::server

int main(int argc, char** argv) {
  berth::server::BlockSignals();
  const char* notify = getenv("NOTIFY_SOCKET");  // NOLINT(concurrency-mt-unsafe): no thread yet
  return berth::server::Main(std::vector<std::string>(argv + 1, argv + argc),
                             notify == nullptr ? "" : notify);
}

// berth-shim: the process beside each container. `create` makes the container and turns into
// `monitor` by execve. `init` is PID 1 of a pod that shares its PID namespace. Nobody but berthd
// starts it.
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "shim/create.h"
#include "shim/monitor/monitor.h"
#include "shim/monitor/pod_init.h"

namespace {

bool IsMonitor(int argc, char** argv) { return argc == 3 && std::strcmp(argv[1], "monitor") == 0; }

bool IsInit(int argc, char** argv) { return argc >= 3 && std::strcmp(argv[1], "init") == 0; }

int RunMonitor(char** argv) { return berth::shim::monitor::Run(std::atoi(argv[2])); }

#if BERTH_STATIC_SHIM
// The monitor stays for the container's whole life, and there is one per container; an init for the
// pod's. They use nothing of the C++ runtime or Abseil, so they start before their constructors,
// which would dirty some forty KiB of it (streams, locales, the exception pool). libc is ready by
// then.
void StartEarly(int argc, char** argv, char** /*environment*/) {
  if (IsMonitor(argc, argv)) _exit(RunMonitor(argv));
  if (IsInit(argc, argv)) _exit(berth::shim::monitor::RunPodInit(argc, argv));
}
__attribute__((section(".preinit_array"), used)) void (*const kStartEarly)(int, char**,
                                                                           char**) = StartEarly;
#endif

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "create") == 0) return berth::shim::RunCreate();
  if (IsMonitor(argc, argv)) return RunMonitor(argv);
  if (IsInit(argc, argv)) return berth::shim::monitor::RunPodInit(argc, argv);
  constexpr char kText[] = "berth-shim is started by berthd, not by hand\n";
  (void)!write(STDERR_FILENO, kText, sizeof kText - 1);
  return 2;
}

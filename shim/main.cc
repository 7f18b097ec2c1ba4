// berth-shim: the process beside each container. `create` makes the container and turns into
// `monitor` by execve; nobody but berthd starts it.
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "shim/create.h"
#include "shim/monitor/monitor.h"

namespace {

bool IsMonitor(int argc, char** argv) { return argc == 3 && std::strcmp(argv[1], "monitor") == 0; }

int RunMonitor(char** argv) { return berth::shim::monitor::Run(std::atoi(argv[2])); }

#if BERTH_STATIC_SHIM
// The monitor stays for the container's whole life, and there is one per container. It uses nothing
// of the C++ runtime or Abseil, so it starts before their constructors, which would dirty some
// forty KiB of it (streams, locales, the exception pool). libc is ready by then.
void StartMonitorEarly(int argc, char** argv, char** /*environment*/) {
  if (IsMonitor(argc, argv)) _exit(RunMonitor(argv));
}
__attribute__((section(".preinit_array"),
               used)) void (*const kStartMonitorEarly)(int, char**, char**) = StartMonitorEarly;
#endif

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "create") == 0) return berth::shim::RunCreate();
  if (IsMonitor(argc, argv)) return RunMonitor(argv);
  constexpr char kText[] = "berth-shim is started by berthd, not by hand\n";
  (void)!write(STDERR_FILENO, kText, sizeof kText - 1);
  return 2;
}

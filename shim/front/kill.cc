#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/os/errno_status.h"
#include "base/status_macros.h"
#include "shim/front/commands.h"
#include "shim/front/container.h"
#include "shim/front/signal_number.h"

namespace berth::shim::front {
namespace {

absl::Status Send(int pidfd, int signal_number) {
  if (syscall(SYS_pidfd_send_signal, pidfd, signal_number, nullptr, 0) == 0) {
    return absl::OkStatus();
  }
  return os::ErrnoStatus(errno, absl::StrCat("send signal ", signal_number));
}

// To every process of the group. Those born meanwhile get it in a later round.
absl::Status SendToAll(const Container& container, int signal_number) {
  const std::string& group = container.record().cgroup;
  if (signal_number == SIGKILL) {
    return container.cgroups().Kill(group, Deadline::After(absl::Seconds(30)));
  }
  ASSIGN_OR_RETURN(const std::vector<pid_t> pids, container.cgroups().Pids(group));
  for (const pid_t pid : pids) {
    const os::UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    if (!pidfd.valid()) continue;  // gone by itself
    // Listed again with the descriptor in hand: it is not another process by now.
    ASSIGN_OR_RETURN(const std::vector<pid_t> still, container.cgroups().Pids(group));
    if (!std::binary_search(still.begin(), still.end(), pid)) continue;
    absl::Status sent = Send(pidfd.get(), signal_number);
    if (!sent.ok() && !os::IsErrno(sent, ESRCH)) return sent;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<int> Kill(const Options& options, const Words& words) {
  ASSIGN_OR_RETURN(const Arguments arguments,
                   Arguments::Parse(words, {{"all", 'a', Flag::kSwitch}}));
  RETURN_IF_ERROR(arguments.Expect(1, 2));
  const std::string name = arguments.words().size() > 1 ? arguments.words()[1] : "SIGTERM";
  ASSIGN_OR_RETURN(const int signal_number, SignalNumber(name));
  ASSIGN_OR_RETURN(const Container container, Container::Open(options, arguments.words()[0]));
  const absl::StatusOr<os::UniqueFd> process = container.OpenProcess();
  // What outlived the first process can be reached by "all" alone.
  if (arguments.IsOn("all")) {
    RETURN_IF_ERROR(SendToAll(container, signal_number));
    return 0;
  }
  RETURN_IF_ERROR(process.status());
  if (signal_number == SIGKILL && !container.record().has_pid_namespace) {
    // Nothing of the kernel's ends the others when the first process ends.
    RETURN_IF_ERROR(SendToAll(container, signal_number));
    return 0;
  }
  RETURN_IF_ERROR(Send(process->get(), signal_number));
  return 0;
}

}  // namespace berth::shim::front

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/ids.h"
#include "base/os/errno_status.h"
#include "base/os/unique_fd.h"
#include "base/status_macros.h"
#include "ctl/commands.h"
#include "ctl/follow.h"
#include "ctl/output.h"
#include "ctl/removal.h"
#include "ctl/run_config.h"

namespace berth::ctl {
namespace {

constexpr absl::Duration kGrace = absl::Seconds(10);

sigset_t Interrupts() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

absl::Status CheckNameIsFree(CriClient* client, const std::string& name) {
  ASSIGN_OR_RETURN(const auto pods, client->ListPods());
  for (const cri::PodSandbox& pod : pods.items()) {
    if (pod.metadata().namespace_() == "berthctl" && pod.metadata().name() == name) {
      return absl::AlreadyExistsError(
          absl::StrCat("run ", name, ": pod ", pod.id().substr(0, 13), " has that name"));
    }
  }
  return absl::OkStatus();
}

// A pod without its container would be in the way of the next attempt.
absl::Status Undo(CriClient* client, const std::string& pod_id, const RunRequest& request,
                  absl::Status cause) {
  cri::PodSandbox pod;
  pod.set_id(pod_id);
  *pod.mutable_labels() = request.pod.labels();
  const absl::Status removed = RemovePod(client, pod, absl::ZeroDuration());
  (void)rmdir(request.log_directory.c_str());  // made by the daemon for us, empty or not ours
  if (removed.ok()) return cause;
  return Annotate(cause, absl::StrCat("pod ", pod_id, " is left (", removed.message(), ")"));
}

struct Started {
  std::string pod;
  std::string container;
};

absl::StatusOr<Started> Start(CriClient* client, const RunRequest& request) {
  RETURN_IF_ERROR(CheckNameIsFree(client, request.name));
  RETURN_IF_ERROR(client->FindImage(request.image).status());
  ASSIGN_OR_RETURN(const std::string pod, client->RunPod(request.pod));
  const absl::StatusOr<std::string> container =
      client->CreateContainer(pod, request.container, request.pod);
  absl::Status status = container.status();
  if (status.ok()) status = client->StartContainer(*container);
  if (!status.ok()) return Undo(client, pod, request, status);
  return Started{pod, *container};
}

absl::StatusOr<int> WaitForIt(CriClient* client, const Started& started,
                              const RunRequest& request) {
  const sigset_t signals = Interrupts();
  FollowOptions options;
  options.follow = true;
  options.interrupt_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  const os::UniqueFd owned(options.interrupt_fd);
  absl::StatusOr<FollowResult> result = ShowLog(client, started.container, options);
  if (result.ok() && result->interrupted) {
    RETURN_IF_ERROR(client->StopContainer(started.container, kGrace));
    ASSIGN_OR_RETURN(result->status, client->Status(started.container));
  }
  if (request.remove) {
    cri::PodSandbox pod;
    pod.set_id(started.pod);
    *pod.mutable_labels() = request.pod.labels();
    RETURN_IF_ERROR(RemovePod(client, pod, absl::ZeroDuration()));
  }
  RETURN_IF_ERROR(result.status());
  return result->status.exit_code();
}

}  // namespace

absl::StatusOr<int> Run(const Context& context, const Words& words) {
  ASSIGN_OR_RETURN(const Args args, Args::Parse(RunFlags(), words, Order::kBeforeTheRest));
  ASSIGN_OR_RETURN(const RunRequest request, MakeRunRequest(args, NewHexId()));
  // Before the container starts: an early Ctrl-C must not leave it behind.
  const sigset_t signals = Interrupts();
  if (!request.detach) (void)pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // cannot fail
  ASSIGN_OR_RETURN(const Started started, Start(context.cri, request));
  if (!request.detach) return WaitForIt(context.cri, started, request);
  RETURN_IF_ERROR(Print(absl::StrCat(started.container, "\n")));
  return 0;
}

}  // namespace berth::ctl

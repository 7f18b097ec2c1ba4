#include "shim/front/hooks.h"

#include <sys/wait.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/os/run_program.h"
#include "base/status_macros.h"

namespace berth::shim::front {
namespace {

absl::Status RunHook(const oci::Hook& hook, const std::string& state) {
  os::Program program;
  program.path = hook.path;
  program.argv = hook.args.empty() ? std::vector<std::string>{hook.path} : hook.args;
  program.env = hook.env;
  program.input = state;
  const Deadline deadline = hook.timeout_seconds.has_value()
                                ? Deadline::After(absl::Seconds(*hook.timeout_seconds))
                                : Deadline::Infinite();
  ASSIGN_OR_RETURN(const os::ProgramResult result, os::RunProgram(program, deadline));
  if (result.end == os::ProgramEnd::kOutOfTime) {
    return absl::DeadlineExceededError(
        absl::StrCat(hook.path, ": killed after its ", *hook.timeout_seconds, " seconds"));
  }
  if (WIFEXITED(result.status) && WEXITSTATUS(result.status) == 0) return absl::OkStatus();
  const std::string how = WIFSIGNALED(result.status)
                              ? absl::StrCat("killed by signal ", WTERMSIG(result.status))
                              : absl::StrCat("exit status ", WEXITSTATUS(result.status));
  return absl::FailedPreconditionError(absl::StrCat(hook.path, ": ", how,
                                                    result.errors.empty() ? "" : ": ",
                                                    absl::StripAsciiWhitespace(result.errors)));
}

std::string Place(const char* kind, size_t index) {
  return absl::StrCat("hooks.", kind, "[", index, "]");
}

}  // namespace

absl::Status RunHooks(const char* kind, const std::vector<oci::Hook>& hooks,
                      const std::string& state) {
  for (size_t i = 0; i < hooks.size(); ++i) {
    RETURN_IF_ERROR_CTX(RunHook(hooks[i], state), Place(kind, i));
  }
  return absl::OkStatus();
}

void RunHooksToTheEnd(const char* kind, const std::vector<oci::Hook>& hooks,
                      const std::string& state) {
  for (size_t i = 0; i < hooks.size(); ++i) {
    const absl::Status status = RunHook(hooks[i], state);
    if (!status.ok()) LogWarning(Annotate(status, Place(kind, i)).message());
  }
}

}  // namespace berth::shim::front

#include <fcntl.h>

#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "shim/front/commands.h"
#include "shim/front/default_spec.h"

namespace berth::shim::front {

absl::StatusOr<int> Spec(const Options& /*options*/, const Words& words) {
  ASSIGN_OR_RETURN(const Arguments arguments,
                   Arguments::Parse(words, {{"bundle", 'b'}, {"rootless", 0, Flag::kSwitch}}));
  RETURN_IF_ERROR(arguments.Expect(0, 0));
  if (arguments.IsOn("rootless")) {
    return absl::UnimplementedError("--rootless: is not offered: berth-oci runs as root");
  }
  const std::string path = absl::StrCat(arguments.Text("bundle", "."), "/config.json");
  const absl::StatusOr<os::UniqueFd> file = os::Open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
  if (os::IsErrno(file.status(), EEXIST)) {
    return absl::AlreadyExistsError(absl::StrCat(path, ": exists already"));
  }
  RETURN_IF_ERROR(file.status());
  RETURN_IF_ERROR(os::WriteAll(file->get(), DefaultSpec()));
  return 0;
}

}  // namespace berth::shim::front

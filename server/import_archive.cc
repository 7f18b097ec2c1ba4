#include "server/import_archive.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::server {

absl::Status ImportArchive::Append(absl::string_view chunk) {
  if (chunk.empty()) return absl::OkStatus();
  if (size_ + chunk.size() > limit_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("receive archive: more than the limit of ", limit_, " bytes"));
  }
  if (!file_.valid()) {
    ASSIGN_OR_RETURN_CTX(file_, os::Open(data_dir_, O_TMPFILE | O_RDWR, 0600), "receive archive");
  }
  RETURN_IF_ERROR_CTX(os::WriteAll(file_.get(), chunk), "receive archive");
  size_ += chunk.size();
  return absl::OkStatus();
}

absl::StatusOr<std::vector<image::ImagePtr>> ImportArchive::Import(
    image::ImageStore* images, const image::ImportOptions& options) {
  if (!file_.valid()) return absl::InvalidArgumentError("import image: the archive is empty");
  // A read-only descriptor of its own: the worker that parses it must not be able to change it.
  ASSIGN_OR_RETURN_CTX(os::UniqueFd archive,
                       os::Open(absl::StrCat("/proc/self/fd/", file_.get()), O_RDONLY),
                       "import image");
  file_.reset();
  return images->Import(std::move(archive), options);
}

}  // namespace berth::server

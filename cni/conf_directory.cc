#include "cni/conf_directory.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/log.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::cni {
namespace {

constexpr size_t kMaxFileBytes = 1 << 20;

bool IsConfName(const std::string& name) {
  return absl::EndsWith(name, ".conflist") || absl::EndsWith(name, ".conf") ||
         absl::EndsWith(name, ".json");
}

absl::StatusOr<ConfList> LoadFile(int dir_fd, const std::string& name) {
  // A FIFO must not make us wait for its writer.
  ASSIGN_OR_RETURN(const os::UniqueFd fd, os::OpenAt(dir_fd, name, O_RDONLY | O_NONBLOCK));
  struct stat st;
  if (fstat(fd.get(), &st) != 0) return os::ErrnoStatus(errno, "stat");
  if (!S_ISREG(st.st_mode)) return absl::InvalidArgumentError("not a regular file");
  ASSIGN_OR_RETURN(const std::string text, os::ReadAll(fd.get(), kMaxFileBytes));
  return absl::EndsWith(name, ".conflist") ? ParseConfList(text) : ParseConf(text);
}

// `broken` gets what is wrong with each file before the first good one.
absl::StatusOr<std::shared_ptr<const ConfList>> FirstGood(const std::string& path,
                                                          std::vector<std::string>* broken) {
  const std::string none = absl::StrCat("no CNI configuration: ", path);
  const absl::StatusOr<os::UniqueFd> dir = os::Open(path, O_RDONLY | O_DIRECTORY);
  if (!dir.ok()) {
    const char* why = os::ErrnoText(os::ErrnoOf(dir.status()));
    return absl::FailedPreconditionError(absl::StrCat(none, ": ", why));
  }
  const absl::StatusOr<std::vector<std::string>> names = os::ListDir(dir->get(), ".");
  if (!names.ok()) return WithCode(absl::StatusCode::kFailedPrecondition, names.status(), none);
  for (const std::string& name : *names) {
    if (!IsConfName(name)) continue;
    absl::StatusOr<ConfList> list = LoadFile(dir->get(), name);
    if (list.ok()) return std::make_shared<const ConfList>(*std::move(list));
    broken->push_back(absl::StrCat(path, "/", name, ": ", list.status().message()));
  }
  if (broken->empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(none, " has no file *.conflist, *.conf or *.json"));
  }
  return absl::FailedPreconditionError(
      absl::StrCat("no good CNI configuration: ", absl::StrJoin(*broken, "; ")));
}

}  // namespace

ConfDirectory::ConfDirectory(std::string path) : path_(std::move(path)) {
  MutexLock lock(&mu_);
  absl::StatusOr<os::DirectoryWatch> watch = os::DirectoryWatch::Open(path_);
  if (watch.ok()) {
    watch_ = *std::move(watch);
  } else {
    LogWarning("the CNI configuration is read again at each use, its directory cannot be watched",
               {{"error", watch.status().message()}});
  }
}

bool ConfDirectory::Changed() {
  if (!watch_.has_value()) return true;
  const absl::StatusOr<bool> changed = watch_->Changed();
  return !changed.ok() || *changed;
}

void ConfDirectory::Load() {
  std::vector<std::string> broken;
  current_ = FirstGood(path_, &broken);
  std::set<std::string> told;
  for (const std::string& complaint : broken) {
    if (told_.count(complaint) == 0) {
      LogWarning("skip a broken CNI configuration", {{"error", complaint}});
    }
    told.insert(complaint);
  }
  told_ = std::move(told);
}

absl::StatusOr<std::shared_ptr<const ConfList>> ConfDirectory::Current() {
  MutexLock lock(&mu_);
  if (Changed() || !loaded_) Load();
  loaded_ = true;
  return current_;
}

}  // namespace berth::cni

#include "base/os/directory_watch.h"

#include <errno.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/os/errno_status.h"
#include "base/status_macros.h"

namespace berth::os {
namespace {

// One mask for all: two names of one directory share a watch.
constexpr uint32_t kMask = IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE |
                           IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
// What happens to the directory itself, or to the watch.
constexpr uint32_t kOwnEvents =
    IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT | IN_Q_OVERFLOW;

}  // namespace

absl::StatusOr<DirectoryWatch> DirectoryWatch::Open(const std::string& path) {
  if (!absl::StartsWith(path, "/")) {
    return absl::InvalidArgumentError(absl::StrCat("watch ", path, ": not an absolute path"));
  }
  UniqueFd inotify(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify.valid()) return ErrnoStatus(errno, absl::StrCat("watch ", path));
  DirectoryWatch watch(path, std::move(inotify));
  RETURN_IF_ERROR(watch.Arm());
  return watch;
}

absl::Status DirectoryWatch::Add(const std::string& directory, const std::string& name,
                                 bool* exists) {
  const int wd = inotify_add_watch(inotify_.get(), directory.c_str(), kMask);
  *exists = wd >= 0;
  if (wd >= 0) {
    watches_[wd].insert(name);
  } else if (errno != ENOENT && errno != ENOTDIR && errno != ELOOP) {
    return ErrnoStatus(errno, absl::StrCat("watch ", directory));
  }
  return absl::OkStatus();
}

// From the root down, each directory before its child is looked for: a child that is made meanwhile
// is an event of its parent.
absl::Status DirectoryWatch::Arm() {
  const std::map<int, std::set<std::string>> old = std::move(watches_);
  watches_.clear();
  const std::vector<std::string> names = absl::StrSplit(path_, '/', absl::SkipEmpty());
  std::string directory = "/";
  bool exists = true;
  for (const std::string& name : names) {
    RETURN_IF_ERROR(Add(directory, name, &exists));
    if (!exists) break;
    absl::StrAppend(&directory, directory.size() > 1 ? "/" : "", name);
  }
  if (exists) RETURN_IF_ERROR(Add(directory, "", &exists));
  for (const auto& [wd, unused] : old) {
    // May be gone with its directory.
    if (watches_.count(wd) == 0) (void)inotify_rm_watch(inotify_.get(), wd);
  }
  return absl::OkStatus();
}

// Reads all pending events. True: one of them concerns us.
absl::StatusOr<bool> DirectoryWatch::Drain() {
  bool concerned = false;
  alignas(inotify_event) char buffer[4096];
  for (;;) {
    const ssize_t n = read(inotify_.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return concerned;
    if (n <= 0) return ErrnoStatus(n == 0 ? EIO : errno, absl::StrCat("watch ", path_));
    for (ssize_t at = 0; at < n;) {
      inotify_event event;
      memcpy(&event, buffer + at, sizeof event);
      const char* name = buffer + at + sizeof event;
      at += static_cast<ssize_t>(sizeof event + event.len);
      const auto watch = watches_.find(event.wd);
      if ((event.mask & IN_Q_OVERFLOW) != 0) concerned = true;
      if (watch == watches_.end()) continue;  // one that was given up
      concerned = concerned || (event.mask & kOwnEvents) != 0 || watch->second.count("") != 0 ||
                  (event.len > 0 && watch->second.count(name) != 0);
    }
  }
}

absl::StatusOr<bool> DirectoryWatch::Changed() {
  ASSIGN_OR_RETURN(const bool concerned, Drain());
  if (!concerned) return false;
  RETURN_IF_ERROR(Arm());
  return true;
}

}  // namespace berth::os

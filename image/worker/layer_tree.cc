#include "image/worker/layer_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "image/worker/limits.h"

namespace berth::worker {
namespace {

constexpr int kOpenDir = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

std::string Join(const std::vector<std::string>& parts, size_t count) {
  return absl::StrJoin(parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(count), "/");
}

os::UniqueFd OpenWithoutLinks(int root_fd, const std::string& path) {
  open_how how{};
  how.flags = kOpenDir;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  return os::UniqueFd(static_cast<int>(
      syscall(SYS_openat2, root_fd, path.empty() ? "." : path.c_str(), &how, sizeof how)));
}

}  // namespace

bool IsWhiteout(const struct stat& st) {
  return S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0);
}

absl::StatusOr<std::vector<std::string>> SplitEntryPath(absl::string_view path) {
  if (path.size() > kMaxNameBytes) {
    return absl::InvalidArgumentError(absl::StrCat("a name of ", path.size(), " bytes"));
  }
  std::vector<std::string> parts;
  for (const absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") return absl::InvalidArgumentError("\"..\" in a name");
    if (part.size() > 255) return absl::InvalidArgumentError("a component of more than 255 bytes");
    parts.emplace_back(part);
  }
  if (parts.size() > kMaxTreeDepth) {
    return absl::InvalidArgumentError(absl::StrCat("deeper than ", kMaxTreeDepth, " directories"));
  }
  return parts;
}

// Where a walk is: the directories from the root down, and what is still to be walked.
struct LayerTree::Walk {
  std::vector<os::UniqueFd> fds;
  std::vector<std::string> names;
  std::vector<std::string> pending;  // next one last
  int links = 0;
};

absl::Status LayerTree::MakeMissing(int dir_fd, const std::string& part, const Walk& walk) {
  struct stat st;
  const bool exists = fstatat(dir_fd, part.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0;
  if (exists && !IsWhiteout(st)) {
    return absl::InvalidArgumentError(absl::StrCat("\"", part, "\" is not a directory"));
  }
  if (exists && unlinkat(dir_fd, part.c_str(), 0) != 0) {
    return os::ErrnoStatus(errno, absl::StrCat("remove whiteout ", part));
  }
  if (mkdirat(dir_fd, part.c_str(), 0755) != 0) {
    return os::ErrnoStatus(errno, absl::StrCat("make directory ", part));
  }
  ++made_;
  if (exists) {
    std::vector<std::string> names = walk.names;
    names.push_back(part);
    opaque_.push_back(absl::StrJoin(names, "/"));
    opaque_bytes_ += opaque_.back().size() + 8;
    if (opaque_bytes_ > kMaxOpaqueBytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat("more than ", kMaxOpaqueBytes, " bytes of opaque directory names"));
    }
  }
  return absl::OkStatus();
}

absl::Status LayerTree::Expand(int dir_fd, const std::string& part, Walk* walk) {
  char target[kMaxNameBytes];
  const ssize_t n = readlinkat(dir_fd, part.c_str(), target, sizeof target);
  if (n < 0) return os::ErrnoStatus(errno, absl::StrCat("read link ", part));
  if (n == sizeof target || ++walk->links > kMaxLinksFollowed) {
    return absl::InvalidArgumentError("too many symbolic links on the way");
  }
  const absl::string_view text(target, static_cast<size_t>(n));
  if (text.front() == '/') {
    walk->fds.clear();
    walk->names.clear();
  }
  std::vector<std::string> parts = absl::StrSplit(text, '/', absl::SkipEmpty());
  walk->pending.insert(walk->pending.end(), std::make_move_iterator(parts.rbegin()),
                       std::make_move_iterator(parts.rend()));
  return absl::OkStatus();
}

absl::Status LayerTree::Step(const std::string& part, Missing missing, Walk* walk) {
  if (part == ".") return absl::OkStatus();
  if (part == "..") {
    if (!walk->fds.empty()) {  // ".." of the root is the root
      walk->fds.pop_back();
      walk->names.pop_back();
    }
    return absl::OkStatus();
  }
  const int at = walk->fds.empty() ? root_fd_ : walk->fds.back().get();
  os::UniqueFd next(openat(at, part.c_str(), kOpenDir));
  if (!next.valid() && (errno == ENOTDIR || errno == ELOOP)) {
    struct stat st;
    if (fstatat(at, part.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode)) {
      return Expand(at, part, walk);
    }
  } else if (!next.valid() && errno != ENOENT) {
    return os::ErrnoStatus(errno, absl::StrCat("open directory ", part));
  }
  if (!next.valid()) {
    if (missing == Missing::kRefuse) {
      return absl::NotFoundError(absl::StrCat("no directory \"", part, "\""));
    }
    RETURN_IF_ERROR(MakeMissing(at, part, *walk));
    next = os::UniqueFd(openat(at, part.c_str(), kOpenDir));
    if (!next.valid()) return os::ErrnoStatus(errno, absl::StrCat("open directory ", part));
  }
  walk->fds.push_back(std::move(next));
  walk->names.push_back(part);
  if (walk->names.size() > kMaxTreeDepth) {
    return absl::InvalidArgumentError(absl::StrCat("deeper than ", kMaxTreeDepth, " directories"));
  }
  return absl::OkStatus();
}

absl::Status LayerTree::WalkTo(const std::vector<std::string>& parts, size_t count,
                               Missing missing) {
  Walk walk;
  walk.pending.assign(parts.rend() - static_cast<std::ptrdiff_t>(count), parts.rend());
  while (!walk.pending.empty()) {
    const std::string part = std::move(walk.pending.back());
    walk.pending.pop_back();
    if (++steps_ > kMaxLinkSteps) {
      return absl::ResourceExhaustedError("too many paths through symbolic links in one layer");
    }
    RETURN_IF_ERROR(Step(part, missing, &walk));
  }
  cached_path_ = absl::StrJoin(walk.names, "/");
  if (walk.fds.empty()) {
    cached_ = OpenWithoutLinks(root_fd_, "");
    if (!cached_.valid()) return os::ErrnoStatus(errno, "open layer directory");
  } else {
    cached_ = std::move(walk.fds.back());
  }
  return absl::OkStatus();
}

absl::StatusOr<LayerTree::Directory> LayerTree::OpenDirectory(const std::vector<std::string>& parts,
                                                              size_t count, Missing missing) {
  std::string request = Join(parts, count);
  if (!has_cached_ || request != cached_request_) {
    has_cached_ = false;
    cached_ = OpenWithoutLinks(root_fd_, request);
    if (cached_.valid()) {
      cached_path_ = request;
    } else {
      RETURN_IF_ERROR(WalkTo(parts, count, missing));
    }
    cached_request_ = std::move(request);
    has_cached_ = true;
  }
  return Directory{cached_.get(), &cached_path_};
}

absl::Status LayerTree::Remove(int dir_fd, const std::string& name) {
  // Removing a directory or a link can change where a name leads; dir_fd may be the cached one,
  // which stays open: what holds `name` is never what is removed.
  has_cached_ = false;
  return os::RemoveTree(dir_fd, name);
}

}  // namespace berth::worker

#include "image/layer_view.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <deque>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::image {
namespace {

constexpr int kMaxLinks = 8;
constexpr int kMaxSteps = 256;

absl::StatusOr<std::string> ReadLink(int link_fd) {
  char target[4096];
  const ssize_t n = readlinkat(link_fd, "", target, sizeof target);
  if (n < 0) return os::ErrnoStatus(errno, "read link in layer");
  if (static_cast<size_t>(n) == sizeof target) {
    return absl::InvalidArgumentError("read link in layer: target longer than 4095 bytes");
  }
  return std::string(target, static_cast<size_t>(n));
}

absl::StatusOr<struct stat> Stat(int fd) {
  struct stat st;
  if (fstatat(fd, "", &st, AT_EMPTY_PATH) != 0) return os::ErrnoStatus(errno, "stat in layer");
  return st;
}

// Puts the parts of `path` in front of what is left to walk.
void PushFront(absl::string_view path, std::deque<std::string>* todo) {
  const std::vector<std::string> parts = absl::StrSplit(path, '/', absl::SkipEmpty());
  todo->insert(todo->begin(), parts.begin(), parts.end());
}

}  // namespace

absl::StatusOr<bool> IsOpaque(int dir_fd) {
  char value[2];
  const ssize_t n = fgetxattr(dir_fd, "trusted.overlay.opaque", value, sizeof value);
  if (n >= 0) return n == 1 && value[0] == 'y';
  if (errno == ENODATA || errno == EOPNOTSUPP || errno == ERANGE) return false;
  return os::ErrnoStatus(errno, "read opaque mark");
}

absl::StatusOr<LayerView> LayerView::Open(const std::vector<std::string>& lowers) {
  LayerView view;
  for (const std::string& lower : lowers) {
    ASSIGN_OR_RETURN(os::UniqueFd fd, os::Open(lower, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    view.roots_.push_back(std::move(fd));
  }
  return view;
}

absl::StatusOr<LayerView::MergedDir> LayerView::Root() const {
  MergedDir root;
  for (const os::UniqueFd& fd : roots_) {
    ASSIGN_OR_RETURN(os::UniqueFd copy, os::OpenAt(fd.get(), ".", O_RDONLY | O_DIRECTORY));
    root.push_back(std::move(copy));
  }
  return root;
}

// One name down from `dir`. A directory replaces `dir`; anything else is left in `found`; `dir` is
// empty afterwards when there is no such directory.
absl::Status LayerView::Descend(const std::string& name, MergedDir* dir,
                                os::UniqueFd* found) const {
  MergedDir next;
  for (const os::UniqueFd& layer : *dir) {
    absl::StatusOr<os::UniqueFd> fd = os::OpenInRoot(layer.get(), name, O_PATH | O_NOFOLLOW);
    if (os::IsErrno(fd.status(), ENOENT)) continue;
    if (os::IsErrno(fd.status(), ENAMETOOLONG)) break;
    RETURN_IF_ERROR(fd.status());
    ASSIGN_OR_RETURN(const struct stat st, Stat(fd->get()));
    if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(0, 0)) break;  // whiteout
    if (!S_ISDIR(st.st_mode)) {
      // Below a directory it is hidden; on top it hides whatever is below.
      if (next.empty()) *found = *std::move(fd);
      break;
    }
    ASSIGN_OR_RETURN(os::UniqueFd opened,
                     os::OpenInRoot(layer.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    ASSIGN_OR_RETURN(const bool opaque, IsOpaque(opened.get()));
    next.push_back(std::move(opened));
    if (opaque) break;
  }
  *dir = std::move(next);
  return absl::OkStatus();
}

absl::StatusOr<os::UniqueFd> LayerView::Find(const std::string& path) const {
  std::deque<std::string> todo;
  PushFront(path, &todo);
  std::vector<std::string> at;  // where `dir` is, without links: what ".." is answered from
  ASSIGN_OR_RETURN(MergedDir dir, Root());
  int links = 0;
  for (int steps = 0; !todo.empty(); ++steps) {
    if (steps == kMaxSteps) {
      return absl::InvalidArgumentError(absl::StrCat("find ", path, ": path too long"));
    }
    const std::string name = std::move(todo.front());
    todo.pop_front();
    if (name == ".") continue;
    if (name == "..") {
      if (!at.empty()) at.pop_back();
      todo.insert(todo.begin(), at.begin(), at.end());
      at.clear();
      ASSIGN_OR_RETURN(dir, Root());
      continue;
    }
    os::UniqueFd found;
    RETURN_IF_ERROR_CTX(Descend(name, &dir, &found), absl::StrCat("find ", path));
    if (!found.valid() && dir.empty()) return os::UniqueFd();
    if (!found.valid()) {
      at.push_back(name);
      continue;
    }
    ASSIGN_OR_RETURN(const struct stat st, Stat(found.get()));
    if (!S_ISLNK(st.st_mode)) return todo.empty() ? std::move(found) : os::UniqueFd();
    if (++links > kMaxLinks) {
      return absl::InvalidArgumentError(
          absl::StrCat("find ", path, ": more than ", kMaxLinks, " symbolic links"));
    }
    ASSIGN_OR_RETURN(const std::string target, ReadLink(found.get()));
    // The link is gone from `dir` with what Descend put there: walk again from the root.
    PushFront(target, &todo);
    if (target.empty() || target[0] != '/') todo.insert(todo.begin(), at.begin(), at.end());
    at.clear();
    ASSIGN_OR_RETURN(dir, Root());
  }
  if (dir.empty()) return os::UniqueFd();
  return std::move(dir.front());
}

}  // namespace berth::image

// Walking trees that others made: of any depth and width, with a bounded number of open directories
// and no recursion.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>

#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/os/measure.h"
#include "base/status_macros.h"

namespace berth::os {
namespace {

// Directories this deep stay open on the way down; below, only the current one, and the way up
// goes by "..", checked against what was there on the way down.
constexpr size_t kOpenLevels = 64;

struct LinuxDirent {  // getdents64(2)
  uint64_t ino;
  int64_t off;
  uint16_t reclen;
  uint8_t type;
  char name[1];
};

struct Level {
  std::string name;
  UniqueFd fd;
  dev_t device = 0;
  ino_t inode = 0;
  off_t position = 0;                // after what was read
  std::vector<std::string> pending;  // directories read, not entered yet
  bool seek = false;                 // fd is not at position
  bool removed_any = false;
};

bool IsDots(const char* name) {
  return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

// ELOOP: a symbolic link. EXDEV: a mount, of the same file system too.
absl::StatusOr<UniqueFd> OpenChild(int dir_fd, const std::string& name) {
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS;
  const long fd = syscall(SYS_openat2, dir_fd, name.c_str(), &how, sizeof how);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("open ", name));
  return UniqueFd(static_cast<int>(fd));
}

// What a walk does. Directories are entered between `entry` and `leave`.
class Visitor {
 public:
  virtual ~Visitor() = default;
  // Any entry but a directory.
  virtual absl::Status File(int dir_fd, const char* name) = 0;
  virtual absl::Status Enter(int fd) = 0;
  // After all below it was visited; true: read it again from the start.
  virtual absl::StatusOr<bool> Leave(int parent_fd, const Level& level) = 0;
  // A directory that could not be opened. OK: skip it.
  virtual absl::Status Unopened(const absl::Status& status) = 0;
};

class Walk {
 public:
  Walk(int root_fd, Visitor* visitor) : root_fd_(root_fd), visitor_(visitor) {}

  // `name` may have several parts; the checks of OpenChild begin below it.
  absl::Status Run(const std::string& name) {
    RETURN_IF_ERROR(Push(OpenAt(root_fd_, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW), name));
    while (!levels_.empty()) {
      Level& level = *levels_.back();
      if (!level.pending.empty()) {
        const std::string next = std::move(level.pending.back());
        level.pending.pop_back();
        RETURN_IF_ERROR(Push(OpenChild(level.fd.get(), next), next));
        continue;
      }
      ASSIGN_OR_RETURN(const bool more, ReadSome(&level));
      if (!more) RETURN_IF_ERROR(Ascend());
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Push(absl::StatusOr<UniqueFd> fd, const std::string& name) {
    if (!fd.ok()) return visitor_->Unopened(fd.status());
    struct stat st;
    if (fstat(fd->get(), &st) != 0) return ErrnoStatus(errno, absl::StrCat("stat ", name));
    RETURN_IF_ERROR(visitor_->Enter(fd->get()));
    if (levels_.size() > kOpenLevels) levels_.back()->fd.reset();
    levels_.push_back(std::make_unique<Level>());
    Level& level = *levels_.back();
    level.name = name;
    level.fd = *std::move(fd);
    level.device = st.st_dev;
    level.inode = st.st_ino;
    return absl::OkStatus();
  }

  // One buffer of entries: files are visited, directories noted. False at the end.
  absl::StatusOr<bool> ReadSome(Level* level) {
    alignas(LinuxDirent) char buffer[16384];
    // ext4 refuses a position that lies behind what a directory has become: then that is its end.
    if (level->seek && lseek(level->fd.get(), level->position, SEEK_SET) < 0) return false;
    level->seek = false;
    const long n = syscall(SYS_getdents64, level->fd.get(), buffer, sizeof buffer);
    if (n < 0 && errno == ENOENT) return false;  // removed by another meanwhile: at its end
    if (n < 0) return ErrnoStatus(errno, absl::StrCat("read directory ", level->name));
    for (long at = 0; at < n;) {
      const auto* entry = reinterpret_cast<const LinuxDirent*>(buffer + at);
      at += entry->reclen;
      level->position = entry->off;
      if (IsDots(entry->name)) continue;
      ASSIGN_OR_RETURN(const bool is_dir, IsDirectory(level->fd.get(), *entry));
      if (is_dir) {
        level->pending.emplace_back(entry->name);
      } else {
        RETURN_IF_ERROR(visitor_->File(level->fd.get(), entry->name));
        level->removed_any = true;
      }
    }
    return n > 0;
  }

  static absl::StatusOr<bool> IsDirectory(int dir_fd, const LinuxDirent& entry) {
    if (entry.type != DT_UNKNOWN) return entry.type == DT_DIR;
    struct stat st;
    if (fstatat(dir_fd, entry.name, &st, AT_SYMLINK_NOFOLLOW) == 0) return S_ISDIR(st.st_mode);
    if (errno == ENOENT) return false;
    return ErrnoStatus(errno, absl::StrCat("stat ", entry.name));
  }

  absl::Status Ascend() {
    RETURN_IF_ERROR(ReopenParent());
    const int parent_fd = levels_.size() == 1 ? root_fd_ : levels_[levels_.size() - 2]->fd.get();
    Level& level = *levels_.back();
    ASSIGN_OR_RETURN(const bool again, visitor_->Leave(parent_fd, level));
    if (again) {
      level.position = 0;
      level.seek = true;
      level.removed_any = false;
      return absl::OkStatus();
    }
    levels_.pop_back();
    if (!levels_.empty()) levels_.back()->removed_any = true;
    return absl::OkStatus();
  }

  // A directory that was moved meanwhile has another parent: the walk must not go on there.
  absl::Status ReopenParent() {
    if (levels_.size() < 2 || levels_[levels_.size() - 2]->fd.valid()) return absl::OkStatus();
    Level& parent = *levels_[levels_.size() - 2];
    ASSIGN_OR_RETURN(UniqueFd fd,
                     OpenAt(levels_.back()->fd.get(), "..", O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
    struct stat st;
    if (fstat(fd.get(), &st) != 0) return ErrnoStatus(errno, absl::StrCat("stat ", parent.name));
    if (st.st_dev != parent.device || st.st_ino != parent.inode) {
      return absl::AbortedError(absl::StrCat(levels_.back()->name, " was moved meanwhile"));
    }
    parent.fd = std::move(fd);
    parent.seek = true;
    return absl::OkStatus();
  }

  const int root_fd_;
  Visitor* const visitor_;
  std::vector<std::unique_ptr<Level>> levels_;
};

class Remover : public Visitor {
 public:
  absl::Status File(int dir_fd, const char* name) override {
    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT) return absl::OkStatus();
    return ErrnoStatus(errno, absl::StrCat("remove ", name));
  }
  absl::Status Enter(int /*fd*/) override { return absl::OkStatus(); }
  absl::StatusOr<bool> Leave(int parent_fd, const Level& level) override {
    if (unlinkat(parent_fd, level.name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) {
      return false;
    }
    // Some file systems skip entries when others are removed while one reads: once more, as long as
    // that helps.
    if (errno == ENOTEMPTY && level.removed_any) return true;
    return ErrnoStatus(errno, absl::StrCat("remove directory ", level.name));
  }
  absl::Status Unopened(const absl::Status& status) override {
    return IsErrno(status, ENOENT) ? absl::OkStatus() : status;
  }
};

class Meter : public Visitor {
 public:
  explicit Meter(const std::atomic<bool>* stop = nullptr) : stop_(stop) {}
  absl::Status File(int dir_fd, const char* name) override {
    struct stat st;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
      Count(st);
      return absl::OkStatus();
    }
    return errno == ENOENT ? absl::OkStatus() : ErrnoStatus(errno, absl::StrCat("stat ", name));
  }
  absl::Status Enter(int fd) override {
    if (stop_ != nullptr && *stop_) return absl::CancelledError("nobody waits for it any more");
    struct stat st;
    if (fstat(fd, &st) != 0) return ErrnoStatus(errno, "stat");
    Count(st);
    return absl::OkStatus();
  }
  absl::StatusOr<bool> Leave(int, const Level&) override { return false; }
  absl::Status Unopened(const absl::Status& status) override {
    // Gone, replaced, or another mount: not of this tree any more.
    const int error = ErrnoOf(status);
    const bool skip = error == ENOENT || error == ENOTDIR || error == ELOOP || error == EXDEV;
    return skip ? absl::OkStatus() : status;
  }
  const TreeUsage& usage() const { return usage_; }

 private:
  void Count(const struct stat& st) {
    if (st.st_nlink > 1 && !S_ISDIR(st.st_mode) && !seen_.insert(st.st_ino).second) return;
    usage_.bytes += static_cast<uint64_t>(st.st_blocks) * 512;
    usage_.inodes += 1;
  }
  const std::atomic<bool>* const stop_;
  TreeUsage usage_;
  absl::flat_hash_set<ino_t> seen_;  // one file system: no mount is crossed
};

absl::StatusOr<bool> IsDirAt(int dir_fd, const std::string& name) {
  struct stat st;
  if (fstatat(dir_fd, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
    return ErrnoStatus(errno, absl::StrCat("stat ", name));
  }
  return S_ISDIR(st.st_mode);
}

absl::Status VisitTree(int dir_fd, const std::string& name, Visitor* visitor) {
  const absl::StatusOr<bool> is_dir = IsDirAt(dir_fd, name);
  if (!is_dir.ok()) return IsErrno(is_dir.status(), ENOENT) ? absl::OkStatus() : is_dir.status();
  if (!*is_dir) return visitor->File(dir_fd, name.c_str());
  return Walk(dir_fd, visitor).Run(name);
}

}  // namespace

absl::Status RemoveTree(int dir_fd, const std::string& name) {
  Remover remover;
  return Annotate(VisitTree(dir_fd, name, &remover), absl::StrCat("remove tree ", name));
}

absl::StatusOr<TreeUsage> MeasureTree(int dir_fd, const std::string& name) {
  Meter meter;
  RETURN_IF_ERROR_CTX(VisitTree(dir_fd, name, &meter), absl::StrCat("measure tree ", name));
  return meter.usage();
}

absl::StatusOr<TreeUsage> MeasureTreeUnless(int dir_fd, const std::string& name,
                                            const std::atomic<bool>& stop) {
  Meter meter(&stop);
  RETURN_IF_ERROR_CTX(VisitTree(dir_fd, name, &meter), absl::StrCat("measure tree ", name));
  return meter.usage();
}

void YieldToOthers() {
  // Best effort: a host that refuses either measures at normal priority.
  (void)setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), 19);
  constexpr int kWhoThread = 1;        // IOPRIO_WHO_PROCESS, 0 = the calling thread
  constexpr int kIdleClass = 3 << 13;  // IOPRIO_CLASS_IDLE
  (void)syscall(SYS_ioprio_set, kWhoThread, 0, kIdleClass);
}

absl::StatusOr<std::vector<std::string>> ListSubdirectories(int dir_fd) {
  std::vector<std::string> names;
  alignas(LinuxDirent) char buffer[16384];
  if (lseek(dir_fd, 0, SEEK_SET) < 0) return ErrnoStatus(errno, "rewind directory");
  for (;;) {
    const long n = syscall(SYS_getdents64, dir_fd, buffer, sizeof buffer);
    if (n < 0) return ErrnoStatus(errno, "read directory");
    if (n == 0) return names;
    for (long at = 0; at < n;) {
      const auto* entry = reinterpret_cast<const LinuxDirent*>(buffer + at);
      at += entry->reclen;
      if (entry->type == DT_DIR && !IsDots(entry->name)) names.emplace_back(entry->name);
    }
  }
}

}  // namespace berth::os

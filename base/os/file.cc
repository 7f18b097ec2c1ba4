#include "base/os/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/ids.h"
#include "base/os/errno_status.h"
#include "base/status_macros.h"

namespace berth::os {
namespace {

using DirStream = std::unique_ptr<DIR, int (*)(DIR*)>;

absl::StatusOr<DirStream> OpenDirStream(int dir_fd, const std::string& path) {
  ASSIGN_OR_RETURN(UniqueFd fd, OpenAt(dir_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  DIR* dir = fdopendir(fd.get());
  if (dir == nullptr) return ErrnoStatus(errno, absl::StrCat("read directory ", path));
  (void)fd.release();  // owned by the stream now
  return DirStream(dir, closedir);
}

bool IsDots(const char* name) {
  return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

}  // namespace

absl::StatusOr<UniqueFd> OpenAt(int dir_fd, const std::string& path, int flags, mode_t mode) {
  const int fd = openat(dir_fd, path.c_str(), flags | O_CLOEXEC, mode);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("open ", path));
  return UniqueFd(fd);
}

absl::StatusOr<UniqueFd> OpenInRoot(int root_fd, const std::string& path, int flags, mode_t mode) {
  open_how how{};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? mode : 0;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  for (int attempt = 0;; ++attempt) {
    const long fd = syscall(SYS_openat2, root_fd, path.c_str(), &how, sizeof how);
    if (fd >= 0) return UniqueFd(static_cast<int>(fd));
    if (errno != EAGAIN || attempt == 64) return ErrnoStatus(errno, absl::StrCat("open ", path));
  }
}

absl::StatusOr<std::string> ReadAll(int fd, size_t limit) {
  std::string data;
  char buffer[16384];
  for (;;) {
    const ssize_t n = read(fd, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, "read");
    if (n == 0) return data;
    if (data.size() + static_cast<size_t>(n) > limit) {
      return absl::ResourceExhaustedError(absl::StrCat("more than ", limit, " bytes"));
    }
    data.append(buffer, static_cast<size_t>(n));
  }
}

absl::StatusOr<std::string> ReadFileAt(int dir_fd, const std::string& path, size_t limit) {
  ASSIGN_OR_RETURN(UniqueFd fd, OpenAt(dir_fd, path, O_RDONLY));
  ASSIGN_OR_RETURN_CTX(std::string data, ReadAll(fd.get(), limit), absl::StrCat("read ", path));
  return data;
}

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t limit) {
  return ReadFileAt(AT_FDCWD, path, limit);
}

absl::Status WriteAll(int fd, absl::string_view data) {
  while (!data.empty()) {
    const ssize_t n = write(fd, data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, "write");
    data.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status WriteKernelFile(int dir_fd, const std::string& path, absl::string_view data) {
  ASSIGN_OR_RETURN(UniqueFd fd, OpenAt(dir_fd, path, O_WRONLY));
  const ssize_t n = write(fd.get(), data.data(), data.size());
  if (n >= 0 && static_cast<size_t>(n) != data.size()) errno = EIO;
  if (n != static_cast<ssize_t>(data.size())) {
    return ErrnoStatus(
        errno, absl::StrCat("write \"", absl::StripTrailingAsciiWhitespace(data), "\" to ", path));
  }
  return absl::OkStatus();
}

absl::Status WriteFileAtomic(int dir_fd, const std::string& name, absl::string_view data,
                             mode_t mode, Durability durability) {
  if (name.empty() || name.find('/') != std::string::npos) {
    return absl::InternalError(absl::StrCat("write \"", name, "\": not a file name"));
  }
  const std::string temporary = absl::StrCat(".", name, ".", NewHexId().substr(0, 12));
  ASSIGN_OR_RETURN(UniqueFd fd,
                   OpenAt(dir_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode));
  absl::Status status = WriteAll(fd.get(), data);
  if (status.ok() && fchmod(fd.get(), mode) != 0) status = ErrnoStatus(errno, "chmod");
  if (status.ok() && durability == Durability::kPowerLoss && fsync(fd.get()) != 0) {
    status = ErrnoStatus(errno, "fsync");
  }
  if (status.ok() && renameat(dir_fd, temporary.c_str(), dir_fd, name.c_str()) != 0) {
    status = ErrnoStatus(errno, "rename");
  }
  if (!status.ok()) {
    (void)unlinkat(dir_fd, temporary.c_str(), 0);  // the write's own error is the one to report
    return Annotate(status, absl::StrCat("write ", name));
  }
  if (durability == Durability::kPowerLoss && fsync(dir_fd) != 0) {
    return ErrnoStatus(errno, absl::StrCat("fsync directory of ", name));
  }
  return absl::OkStatus();
}

absl::Status EnsureDir(const std::string& path, mode_t mode) {
  if (mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
    return ErrnoStatus(errno, absl::StrCat("mkdir ", path));
  }
  ASSIGN_OR_RETURN(UniqueFd fd, Open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  if (fchmod(fd.get(), mode) != 0) return ErrnoStatus(errno, absl::StrCat("chmod ", path));
  return absl::OkStatus();
}

absl::Status MakeDirs(const std::string& path, mode_t mode) {
  for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    if (mkdir(part.c_str(), mode) == 0) {
      // The umask has no say: callers mean the mode they name.
      if (chmod(part.c_str(), mode) != 0) return ErrnoStatus(errno, absl::StrCat("chmod ", part));
    } else if (errno != EEXIST) {
      return ErrnoStatus(errno, absl::StrCat("mkdir ", part));
    }
    if (end == std::string::npos) break;
  }
  struct stat st;
  if (stat(path.c_str(), &st) != 0) return ErrnoStatus(errno, absl::StrCat("stat ", path));
  if (!S_ISDIR(st.st_mode)) return ErrnoStatus(ENOTDIR, absl::StrCat("mkdir ", path));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> ListDir(int dir_fd, const std::string& path) {
  ASSIGN_OR_RETURN(DirStream dir, OpenDirStream(dir_fd, path));
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = readdir(dir.get())) {  // NOLINT(concurrency-mt-unsafe): own stream
    if (!IsDots(entry->d_name)) names.emplace_back(entry->d_name);
  }
  if (errno != 0) return ErrnoStatus(errno, absl::StrCat("read directory ", path));
  std::sort(names.begin(), names.end());
  return names;
}

absl::StatusOr<UniqueFd> MemFdWith(const std::string& name, absl::string_view data) {
  UniqueFd fd(memfd_create(name.c_str(), MFD_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("memfd_create ", name));
  RETURN_IF_ERROR_CTX(WriteAll(fd.get(), data), absl::StrCat("memfd ", name));
  if (lseek(fd.get(), 0, SEEK_SET) != 0) return ErrnoStatus(errno, "lseek");
  return fd;
}

absl::StatusOr<std::string> BootId() {
  ASSIGN_OR_RETURN(std::string id, ReadFile("/proc/sys/kernel/random/boot_id", 64));
  return std::string(absl::StripTrailingAsciiWhitespace(id));
}

}  // namespace berth::os

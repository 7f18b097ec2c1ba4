#include "image/worker/layer_unpacker.h"

#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "image/worker/entry_metadata.h"

namespace berth::worker {
namespace {

constexpr char kWhiteoutPrefix[] = ".wh.";
constexpr char kAufsPrefix[] = ".wh..wh.";
constexpr char kOpaqueMarker[] = ".wh..wh..opq";

// Says which entry, and keeps errno-derived codes from meaning more than they do: what the kernel
// refuses about a hostile entry is the archive's fault, a full disk is not.
absl::Status ForEntry(const absl::Status& status, absl::string_view name) {
  const std::string context = absl::StrCat("unpack entry \"", name.substr(0, 256), "\"");
  switch (os::ErrnoOf(status)) {
    case ENAMETOOLONG:
    case EFBIG:
    case EINVAL:
    case EMLINK:
    case EILSEQ:
      return WithCode(absl::StatusCode::kInvalidArgument, status, context);
    default:
      return Annotate(status, context);
  }
}

absl::StatusOr<os::UniqueFd> OpenMadeDirectory(int dir_fd, const std::string& name) {
  return os::OpenAt(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

}  // namespace

absl::Status LayerUnpacker::Unpack(TarReader* tar) {
  for (;;) {
    if (stop_->load(std::memory_order_relaxed)) return absl::CancelledError("another layer failed");
    ASSIGN_OR_RETURN(archive_entry * entry, tar->Next());
    if (entry == nullptr) break;
    if (++entries_ + tree_.made() > limits_.max_entries) {
      return absl::ResourceExhaustedError(
          absl::StrCat("unpack layer: more than ", limits_.max_entries, " entries"));
    }
    if (absl::Status s = UnpackEntry(entry, tar); !s.ok()) {
      return ForEntry(s, archive_entry_pathname(entry));
    }
  }
  return SetDirectoryTimes();
}

absl::Status LayerUnpacker::UnpackEntry(archive_entry* entry, TarReader* tar) {
  ASSIGN_OR_RETURN(const std::vector<std::string> parts,
                   SplitEntryPath(archive_entry_pathname(entry)));
  if (parts.empty()) return MakeRoot(entry);
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    // aufs kept its own directories (.wh..wh.plnk, .wh..wh.orph) in old layers: not content.
    if (absl::StartsWith(parts[i], kAufsPrefix)) return absl::OkStatus();
    if (absl::StartsWith(parts[i], kWhiteoutPrefix)) {
      return absl::InvalidArgumentError("an entry below a whiteout");
    }
  }
  const std::string& name = parts.back();
  absl::string_view hidden = name;
  if (absl::StartsWith(name, kAufsPrefix) && name != kOpaqueMarker) return absl::OkStatus();
  if (absl::ConsumePrefix(&hidden, kWhiteoutPrefix)) return Whiteout(parts, hidden);
  ASSIGN_OR_RETURN(const LayerTree::Directory dir,
                   tree_.OpenDirectory(parts, parts.size() - 1, LayerTree::Missing::kMake));
  const std::string dir_path = *dir.path;  // making the entry may change what the tree remembers
  return Make(entry, Target{dir.fd, dir_path, name}, tar);
}

absl::Status LayerUnpacker::Make(archive_entry* entry, const Target& target, TarReader* tar) {
  if (archive_entry_hardlink(entry) != nullptr) return MakeHardlink(entry, target);
  switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
      return MakeFile(entry, target, tar);
    case AE_IFDIR:
      return MakeDirectory(entry, target);
    case AE_IFLNK:
      return MakeSymlink(entry, target);
    case AE_IFCHR:
    case AE_IFBLK:
    case AE_IFIFO:
      return MakeNode(entry, target);
    default:
      return absl::InvalidArgumentError("an entry of unknown type");
  }
}

absl::Status LayerUnpacker::Whiteout(const std::vector<std::string>& parts,
                                     absl::string_view hidden) {
  if (hidden.empty() || hidden == "." || hidden == "..") {
    return absl::InvalidArgumentError("a whiteout of no name");
  }
  ASSIGN_OR_RETURN(const LayerTree::Directory dir,
                   tree_.OpenDirectory(parts, parts.size() - 1, LayerTree::Missing::kMake));
  if (parts.back() == kOpaqueMarker) return MarkOpaque(*dir.path);
  const std::string name(hidden);
  if (mknodat(dir.fd, name.c_str(), S_IFCHR, makedev(0, 0)) == 0) return absl::OkStatus();
  if (errno != EEXIST) return os::ErrnoStatus(errno, "make whiteout");
  // A whiteout hides lower layers only (image-spec layer.md): what this layer has stays, and a
  // directory of its own must not show what lower layers had below it.
  struct stat st;
  if (fstatat(dir.fd, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
    return os::ErrnoStatus(errno, "make whiteout");
  }
  if (!S_ISDIR(st.st_mode)) return absl::OkStatus();
  return MarkOpaque(dir.path->empty() ? name : absl::StrCat(*dir.path, "/", name));
}

absl::Status LayerUnpacker::MarkOpaque(const std::string& path) {
  if (!opaque_.insert(path).second) return absl::OkStatus();
  opaque_bytes_ += path.size() + 8;
  if (opaque_bytes_ > kMaxOpaqueBytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("more than ", kMaxOpaqueBytes, " bytes of opaque directory names"));
  }
  return absl::OkStatus();
}

absl::Status LayerUnpacker::NoteDirectory(const std::string& path, const timespec& mtime) {
  directory_bytes_ += path.size() + sizeof(directories_[0]);
  if (directory_bytes_ > kMaxDirNameBytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("more than ", kMaxDirNameBytes, " bytes of directory names"));
  }
  directories_.emplace_back(path, mtime);
  return absl::OkStatus();
}

absl::Status LayerUnpacker::MakeRoot(archive_entry* entry) {
  if (archive_entry_filetype(entry) != AE_IFDIR || archive_entry_hardlink(entry) != nullptr) {
    return absl::InvalidArgumentError("the layer's root is not a directory");
  }
  RETURN_IF_ERROR(ApplyMetadata(entry, root_fd_));
  return NoteDirectory("", EntryTime(entry));
}

absl::Status LayerUnpacker::MakeDirectory(archive_entry* entry, const Target& target) {
  const std::string path =
      target.dir_path.empty() ? target.name : absl::StrCat(target.dir_path, "/", target.name);
  absl::StatusOr<os::UniqueFd> fd = absl::UnknownError("");
  if (mkdirat(target.dir_fd, target.name.c_str(), 0755) == 0) {
    fd = OpenMadeDirectory(target.dir_fd, target.name);
  } else if (errno != EEXIST) {
    return os::ErrnoStatus(errno, "make directory");
  } else {
    fd = OpenMadeDirectory(target.dir_fd, target.name);
    if (!fd.ok()) {  // something else of that name: replaced
      struct stat st;
      if (fstatat(target.dir_fd, target.name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 &&
          IsWhiteout(st)) {
        RETURN_IF_ERROR(MarkOpaque(path));
      }
      RETURN_IF_ERROR(tree_.Remove(target.dir_fd, target.name));
      if (mkdirat(target.dir_fd, target.name.c_str(), 0755) != 0) {
        return os::ErrnoStatus(errno, "make directory");
      }
      fd = OpenMadeDirectory(target.dir_fd, target.name);
    }
  }
  RETURN_IF_ERROR(fd.status());
  RETURN_IF_ERROR(ApplyMetadata(entry, fd->get()));
  return NoteDirectory(path, EntryTime(entry));
}

absl::Status LayerUnpacker::WriteData(int fd, uint64_t size, TarReader* tar) {
  uint64_t end = 0;
  for (;;) {
    ASSIGN_OR_RETURN(const TarReader::Block block, tar->ReadBlock());
    if (block.data.empty()) break;
    if (block.offset > size || block.data.size() > size - block.offset) {
      return absl::InvalidArgumentError("data beyond the size in the header");
    }
    if (stop_->load(std::memory_order_relaxed)) return absl::CancelledError("another layer failed");
    size_t done = 0;
    while (done < block.data.size()) {
      const ssize_t n = pwrite(fd, block.data.data() + done, block.data.size() - done,
                               static_cast<off_t>(block.offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return os::ErrnoStatus(errno, "write file");
      done += static_cast<size_t>(n);
    }
    end = block.offset + block.data.size();
  }
  // A sparse file may end with a hole.
  if (end != size && ftruncate(fd, static_cast<off_t>(size)) != 0) {
    return os::ErrnoStatus(errno, "set file size");
  }
  return absl::OkStatus();
}

absl::Status LayerUnpacker::MakeFile(archive_entry* entry, const Target& target, TarReader* tar) {
  const int64_t size = archive_entry_size(entry);
  if (size < 0) return absl::InvalidArgumentError("a negative size");
  if (static_cast<uint64_t>(size) > limits_.max_layer_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat("a file of ", size, " bytes, at most ",
                                                     limits_.max_layer_bytes, " in a layer"));
  }
  constexpr int kCreate = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
  absl::StatusOr<os::UniqueFd> fd = os::OpenAt(target.dir_fd, target.name, kCreate, 0600);
  if (!fd.ok() && os::IsErrno(fd.status(), EEXIST)) {
    RETURN_IF_ERROR(tree_.Remove(target.dir_fd, target.name));
    fd = os::OpenAt(target.dir_fd, target.name, kCreate, 0600);
  }
  RETURN_IF_ERROR(fd.status());
  RETURN_IF_ERROR(WriteData(fd->get(), static_cast<uint64_t>(size), tar));
  RETURN_IF_ERROR(ApplyMetadata(entry, fd->get()));
  const timespec times[2] = {EntryTime(entry), EntryTime(entry)};
  if (futimens(fd->get(), times) != 0) return os::ErrnoStatus(errno, "set times");
  return absl::OkStatus();
}

absl::Status LayerUnpacker::MakeSymlink(archive_entry* entry, const Target& target) {
  const char* text = archive_entry_symlink(entry);
  if (text == nullptr || *text == '\0') return absl::InvalidArgumentError("a link without target");
  ASSIGN_OR_RETURN(const Owner owner, EntryOwner(entry));
  if (symlinkat(text, target.dir_fd, target.name.c_str()) != 0) {
    if (errno != EEXIST) return os::ErrnoStatus(errno, "make symbolic link");
    RETURN_IF_ERROR(tree_.Remove(target.dir_fd, target.name));
    if (symlinkat(text, target.dir_fd, target.name.c_str()) != 0) {
      return os::ErrnoStatus(errno, "make symbolic link");
    }
  }
  if (fchownat(target.dir_fd, target.name.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) !=
      0) {
    return os::ErrnoStatus(errno, "chown symbolic link");
  }
  const timespec times[2] = {EntryTime(entry), EntryTime(entry)};
  if (utimensat(target.dir_fd, target.name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) {
    return os::ErrnoStatus(errno, "set times");
  }
  return absl::OkStatus();
}

absl::Status LayerUnpacker::MakeHardlink(archive_entry* entry, const Target& target) {
  const std::string link = archive_entry_hardlink(entry);
  const std::string context = absl::StrCat("hard link to \"", link.substr(0, 256), "\"");
  ASSIGN_OR_RETURN_CTX(const std::vector<std::string> parts, SplitEntryPath(link), context);
  if (parts.empty()) return absl::InvalidArgumentError(absl::StrCat(context, ": a directory"));
  // The tree remembers one directory: keep ours while the target's is looked up.
  os::UniqueFd here(fcntl(target.dir_fd, F_DUPFD_CLOEXEC, 0));
  if (!here.valid()) return os::ErrnoStatus(errno, "make hard link");
  absl::StatusOr<LayerTree::Directory> dir =
      tree_.OpenDirectory(parts, parts.size() - 1, LayerTree::Missing::kRefuse);
  if (!dir.ok()) return WithCode(absl::StatusCode::kInvalidArgument, dir.status(), context);
  struct stat from;
  if (fstatat(dir->fd, parts.back().c_str(), &from, AT_SYMLINK_NOFOLLOW) != 0) {
    return WithCode(absl::StatusCode::kInvalidArgument, os::ErrnoStatus(errno, "stat"), context);
  }
  if (S_ISDIR(from.st_mode) || IsWhiteout(from)) {
    return absl::InvalidArgumentError(
        absl::StrCat(context, S_ISDIR(from.st_mode) ? ": a directory" : ": absent"));
  }
  struct stat to;
  const char* name = target.name.c_str();
  if (fstatat(here.get(), name, &to, AT_SYMLINK_NOFOLLOW) == 0) {
    if (to.st_ino == from.st_ino && to.st_dev == from.st_dev) return absl::OkStatus();
    RETURN_IF_ERROR(tree_.Remove(here.get(), target.name));
  }
  // Without AT_SYMLINK_FOLLOW: a link to a symbolic link is to the link itself.
  if (linkat(dir->fd, parts.back().c_str(), here.get(), name, 0) != 0) {
    const absl::Status failed = os::ErrnoStatus(errno, context);
    return errno == ENOENT || errno == ENOTDIR
               ? WithCode(absl::StatusCode::kInvalidArgument, failed, "make hard link")
               : failed;
  }
  return absl::OkStatus();
}

absl::Status LayerUnpacker::MakeNode(archive_entry* entry, const Target& target) {
  const mode_t mode = archive_entry_mode(entry);
  const bool device = !S_ISFIFO(mode);
  const dev_t rdev =
      device ? makedev(archive_entry_rdevmajor(entry), archive_entry_rdevminor(entry)) : 0;
  if (S_ISCHR(mode) && rdev == makedev(0, 0)) {
    return absl::InvalidArgumentError("a character device 0:0, which overlay takes for a whiteout");
  }
  ASSIGN_OR_RETURN(const Owner owner, EntryOwner(entry));
  const char* name = target.name.c_str();
  // The umask is 0, so that mknod itself sets the mode: a node cannot be opened to chmod it.
  if (mknodat(target.dir_fd, name, mode & (S_IFMT | 07777), rdev) != 0) {
    if (errno != EEXIST) return os::ErrnoStatus(errno, "make node");
    RETURN_IF_ERROR(tree_.Remove(target.dir_fd, target.name));
    if (mknodat(target.dir_fd, name, mode & (S_IFMT | 07777), rdev) != 0) {
      return os::ErrnoStatus(errno, "make node");
    }
  }
  if (fchownat(target.dir_fd, name, owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return os::ErrnoStatus(errno, "chown node");
  }
  const timespec times[2] = {EntryTime(entry), EntryTime(entry)};
  if (utimensat(target.dir_fd, name, times, AT_SYMLINK_NOFOLLOW) != 0) {
    return os::ErrnoStatus(errno, "set times");
  }
  return absl::OkStatus();
}

absl::Status LayerUnpacker::SetDirectoryTimes() {
  for (const auto& [path, mtime] : directories_) {
    ASSIGN_OR_RETURN(const std::vector<std::string> parts, SplitEntryPath(path));
    absl::StatusOr<LayerTree::Directory> dir =
        tree_.OpenDirectory(parts, parts.size(), LayerTree::Missing::kRefuse);
    if (!dir.ok() || *dir->path != path) continue;  // a later entry replaced it
    const timespec times[2] = {mtime, mtime};
    // The fd is O_PATH, which futimens refuses.
    if (utimensat(dir->fd, ".", times, AT_SYMLINK_NOFOLLOW) != 0) {
      return os::ErrnoStatus(errno, absl::StrCat("set times of ", path));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> LayerUnpacker::OpaqueDirectories() {
  for (const std::string& path : tree_.opaque()) RETURN_IF_ERROR(MarkOpaque(path));
  std::vector<std::string> still;
  for (const std::string& path : opaque_) {
    ASSIGN_OR_RETURN(const std::vector<std::string> parts, SplitEntryPath(path));
    absl::StatusOr<LayerTree::Directory> dir =
        tree_.OpenDirectory(parts, parts.size(), LayerTree::Missing::kRefuse);
    if (dir.ok() && *dir->path == path) still.push_back(path.empty() ? "." : path);
  }
  return still;
}

}  // namespace berth::worker

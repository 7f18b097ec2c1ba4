#include "base/os/mount.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::os {
namespace {

constexpr size_t kMountInfoLimit = 64 << 20;

// The kernel's own words on a failed fsopen context: one message a read, "e overlay: text". An
// error comes back as errno alone when there are none.
absl::Status FsError(int error, int fs_fd, const std::string& what) {
  std::string said;
  char line[1024];
  for (;;) {
    const ssize_t n = read(fs_fd, line, sizeof line);
    if (n <= 0) break;  // ENODATA: no more
    absl::string_view text(line, static_cast<size_t>(n));
    if (!absl::ConsumePrefix(&text, "e ")) continue;
    absl::StrAppend(&said, said.empty() ? " (" : "; ", absl::StripAsciiWhitespace(text));
  }
  return ErrnoStatus(error, said.empty() ? what : absl::StrCat(what, said, ")"));
}

int OctalDigit(char c) { return c >= '0' && c <= '7' ? c - '0' : -1; }

// "\040" and friends, as the kernel writes blanks, tabs, newlines and backslashes.
std::string Unescape(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      const int a = OctalDigit(text[i + 1]), b = OctalDigit(text[i + 2]),
                c = OctalDigit(text[i + 3]);
      if (a >= 0 && b >= 0 && c >= 0) {
        out.push_back(static_cast<char>(a * 64 + b * 8 + c));
        i += 3;
        continue;
      }
    }
    out.push_back(text[i]);
  }
  return out;
}

// 36 35 98:0 /root /target rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue
bool ParseMountLine(absl::string_view line, MountEntry* entry) {
  const std::vector<absl::string_view> f = absl::StrSplit(line, ' ');
  size_t dash = 6;
  while (dash < f.size() && f[dash] != "-") ++dash;
  if (dash + 3 >= f.size()) return false;
  if (!absl::SimpleAtoi(f[0], &entry->id) || !absl::SimpleAtoi(f[1], &entry->parent)) return false;
  entry->root = Unescape(f[3]);
  entry->target = Unescape(f[4]);
  entry->options = std::string(f[5]);
  for (size_t i = 6; i < dash; ++i) {
    if (absl::StartsWith(f[i], "shared:")) entry->is_shared = true;
    if (absl::StartsWith(f[i], "master:")) entry->is_slave = true;
  }
  entry->fs_type = Unescape(f[dash + 1]);
  entry->source = Unescape(f[dash + 2]);
  entry->super_options = std::string(f[dash + 3]);
  return true;
}

}  // namespace

absl::StatusOr<DetachedMount> CloneTree(int dir_fd, const std::string& path, bool recursive) {
  unsigned int flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
  if (recursive) flags |= AT_RECURSIVE;
  if (path.empty()) flags |= AT_EMPTY_PATH;
  const int fd = open_tree(dir_fd, path.c_str(), flags);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("clone mount at ", path));
  return DetachedMount(fd);
}

absl::StatusOr<DetachedMount> NewMount(
    const std::string& fs_type, const std::vector<std::pair<std::string, std::string>>& options,
    uint64_t attributes) {
  const UniqueFd fs(fsopen(fs_type.c_str(), FSOPEN_CLOEXEC));
  if (!fs.valid()) return ErrnoStatus(errno, absl::StrCat("open file system type ", fs_type));
  for (const auto& [key, value] : options) {
    const unsigned int command = value.empty() ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING;
    if (fsconfig(fs.get(), command, key.c_str(), value.empty() ? nullptr : value.c_str(), 0) != 0) {
      return FsError(errno, fs.get(), absl::StrCat("mount ", fs_type, ": set ", key));
    }
  }
  if (fsconfig(fs.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return FsError(errno, fs.get(), absl::StrCat("mount ", fs_type));
  }
  const int fd = fsmount(fs.get(), FSMOUNT_CLOEXEC, static_cast<unsigned int>(attributes));
  if (fd < 0) return FsError(errno, fs.get(), absl::StrCat("mount ", fs_type));
  return DetachedMount(fd);
}

absl::Status SetMountAttributes(int mount_fd, uint64_t set, uint64_t clear, uint64_t propagation,
                                bool recursive) {
  mount_attr attr{};
  attr.attr_set = set;
  attr.attr_clr = clear;
  attr.propagation = propagation;
  const unsigned int flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  if (mount_setattr(mount_fd, "", flags, &attr, sizeof attr) != 0) {
    return ErrnoStatus(errno, "set mount attributes");
  }
  return absl::OkStatus();
}

absl::Status SetIdMapping(int mount_fd, int user_fd, bool recursive) {
  mount_attr attr{};
  attr.attr_set = MOUNT_ATTR_IDMAP;
  attr.userns_fd = static_cast<uint64_t>(user_fd);
  const unsigned int flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  if (mount_setattr(mount_fd, "", flags, &attr, sizeof attr) != 0) {
    return ErrnoStatus(errno, "map ids of a mount");
  }
  return absl::OkStatus();
}

absl::Status AttachMount(int mount_fd, int dir_fd, const std::string& path) {
  const unsigned int flags = MOVE_MOUNT_F_EMPTY_PATH | (path.empty() ? MOVE_MOUNT_T_EMPTY_PATH : 0);
  if (move_mount(mount_fd, "", dir_fd, path.c_str(), flags) != 0) {
    return ErrnoStatus(errno, absl::StrCat("attach mount at ", path));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<MountEntry>> ParseMountInfo(absl::string_view text) {
  std::vector<MountEntry> entries;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    MountEntry entry;
    if (!ParseMountLine(line, &entry)) {
      return absl::InternalError(absl::StrCat("parse mountinfo: \"", line, "\""));
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

absl::StatusOr<MountEntry> MountOf(const std::string& path) {
  struct statx st;
  if (statx(AT_FDCWD, path.c_str(), 0, STATX_MNT_ID, &st) != 0) {
    return ErrnoStatus(errno, absl::StrCat("find the mount of ", path));
  }
  ASSIGN_OR_RETURN(const std::string text,
                   ReadFile("/proc/thread-self/mountinfo", kMountInfoLimit));
  ASSIGN_OR_RETURN(std::vector<MountEntry> entries, ParseMountInfo(text));
  for (MountEntry& entry : entries) {
    if (entry.id == st.stx_mnt_id) return std::move(entry);
  }
  return absl::NotFoundError(absl::StrCat("find the mount of ", path, ": it is not in mountinfo"));
}

}  // namespace berth::os

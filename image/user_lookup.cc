#include "image/user_lookup.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <limits>

#include "absl/functional/function_ref.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "image/layer_view.h"

namespace berth::image {
namespace {

constexpr size_t kMaxGroups = 65536;  // NGROUPS_MAX

absl::Status Bad(absl::string_view user, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("resolve user \"", absl::CHexEscape(user.substr(0, 256)), "\": ", why));
}

bool AllDigits(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
}

// Ids above 2^31-1 wrap somewhere in too many programs, so they count as out of range.
bool ParseId(absl::string_view text, uint32_t* id) {
  int64_t value = 0;
  if (!AllDigits(text) || !absl::SimpleAtoi(text, &value) ||
      value > std::numeric_limits<int32_t>::max()) {
    return false;
  }
  *id = static_cast<uint32_t>(value);
  return true;
}

// Calls `visit` with the fields of each well-formed line until it returns false. A line with
// control bytes or too few fields is nobody's.
void ForEachEntry(absl::string_view text, size_t fields,
                  absl::FunctionRef<bool(const std::vector<absl::string_view>&)> visit) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (line.empty() || line[0] == '#') continue;
    if (std::any_of(line.begin(), line.end(), absl::ascii_iscntrl)) continue;
    const std::vector<absl::string_view> parts = absl::StrSplit(line, ':');
    if (parts.size() >= fields && !parts[0].empty() && !visit(parts)) return;
  }
}

// name:password:uid:gid:gecos:home:shell
bool FindUser(absl::string_view passwd, absl::string_view name, const uint32_t* uid,
              ResolvedUser* user) {
  bool found = false;
  ForEachEntry(passwd, 4, [&](const std::vector<absl::string_view>& entry) {
    uint32_t entry_uid = 0;
    uint32_t entry_gid = 0;
    if (uid == nullptr && entry[0] != name) return true;
    if (!ParseId(entry[2], &entry_uid) || !ParseId(entry[3], &entry_gid)) return true;
    if (uid != nullptr && entry_uid != *uid) return true;
    user->name = std::string(entry[0]);
    user->uid = entry_uid;
    user->gid = entry_gid;
    if (entry.size() > 5 && absl::StartsWith(entry[5], "/")) user->home = std::string(entry[5]);
    found = true;
    return false;
  });
  return found;
}

// name:password:gid:member,member
bool FindGroup(absl::string_view group, absl::string_view name, gid_t* gid) {
  bool found = false;
  ForEachEntry(group, 3, [&](const std::vector<absl::string_view>& entry) {
    uint32_t entry_gid = 0;
    if (entry[0] != name || !ParseId(entry[2], &entry_gid)) return true;
    *gid = entry_gid;
    found = true;
    return false;
  });
  return found;
}

void AddMemberships(absl::string_view group, ResolvedUser* user) {
  if (user->name.empty()) return;
  ForEachEntry(group, 4, [&](const std::vector<absl::string_view>& entry) {
    uint32_t gid = 0;
    if (!ParseId(entry[2], &gid) || gid == user->gid) return true;
    for (absl::string_view member : absl::StrSplit(entry[3], ',')) {
      if (member == user->name) {
        user->groups.push_back(gid);
        break;
      }
    }
    return true;
  });
  std::sort(user->groups.begin(), user->groups.end());
  user->groups.erase(std::unique(user->groups.begin(), user->groups.end()), user->groups.end());
}

// What is neither a number nor anything that could be taken for one.
absl::Status CheckIsName(absl::string_view user, absl::string_view part) {
  if (AllDigits(part)) return Bad(user, absl::StrCat("id ", part, " is out of range"));
  if (part[0] == '-' || part[0] == '+') return Bad(user, "a name cannot begin with a sign");
  if (std::any_of(part.begin(), part.end(),
                  [](char c) { return absl::ascii_iscntrl(c) || absl::ascii_isspace(c); })) {
    return Bad(user, "a name cannot hold spaces or control bytes");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadTable(const std::vector<std::string>& lowers,
                                      const std::string& path) {
  ASSIGN_OR_RETURN(std::optional<std::string> text, ReadThroughLayers(lowers, path));
  return text.has_value() ? *std::move(text) : std::string();
}

}  // namespace

absl::StatusOr<std::optional<std::string>> ReadThroughLayers(const std::vector<std::string>& lowers,
                                                             const std::string& path,
                                                             size_t limit) {
  ASSIGN_OR_RETURN(const LayerView view, LayerView::Open(lowers));
  ASSIGN_OR_RETURN(const os::UniqueFd found, view.Find(path));
  if (!found.valid()) return std::optional<std::string>();
  struct stat st;
  if (fstatat(found.get(), "", &st, AT_EMPTY_PATH) != 0) {
    return os::ErrnoStatus(errno, absl::StrCat("stat ", path));
  }
  if (!S_ISREG(st.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat("read ", path, ": not a regular file"));
  }
  if (static_cast<uint64_t>(st.st_size) > limit) {
    return absl::InvalidArgumentError(
        absl::StrCat("read ", path, ": ", st.st_size, " bytes, the limit is ", limit));
  }
  // The one way to read what an O_PATH fd found; it is known to be a regular file by now.
  ASSIGN_OR_RETURN(const os::UniqueFd file,
                   os::Open(absl::StrCat("/proc/self/fd/", found.get()), O_RDONLY | O_NONBLOCK));
  ASSIGN_OR_RETURN_CTX(std::string text, os::ReadAll(file.get(), limit),
                       absl::StrCat("read ", path));
  return std::optional<std::string>(std::move(text));
}

absl::StatusOr<ResolvedUser> ResolveUser(const std::vector<std::string>& lowers,
                                         absl::string_view user) {
  const std::vector<absl::string_view> parts = absl::StrSplit(user, ':');
  if (parts.size() > 2) return Bad(user, "more than one colon");
  const absl::string_view user_part = parts[0].empty() ? absl::string_view("0") : parts[0];
  const absl::string_view group_part = parts.size() > 1 ? parts[1] : absl::string_view();

  // Every number is judged before a file is read.
  uint32_t uid = 0;
  uint32_t gid = 0;
  const bool uid_given = ParseId(user_part, &uid);
  if (!uid_given) RETURN_IF_ERROR(CheckIsName(user, user_part));
  const bool gid_given = !group_part.empty() && ParseId(group_part, &gid);
  if (!group_part.empty() && !gid_given) RETURN_IF_ERROR(CheckIsName(user, group_part));

  ASSIGN_OR_RETURN_CTX(const std::string passwd, ReadTable(lowers, "/etc/passwd"),
                       absl::StrCat("resolve user \"", absl::CHexEscape(user), "\""));
  ASSIGN_OR_RETURN_CTX(const std::string group, ReadTable(lowers, "/etc/group"),
                       absl::StrCat("resolve user \"", absl::CHexEscape(user), "\""));
  ResolvedUser resolved;
  if (!FindUser(passwd, user_part, uid_given ? &uid : nullptr, &resolved)) {
    if (!uid_given) return Bad(user, "no such user in the image's /etc/passwd");
    resolved.uid = uid;
  }
  if (gid_given) {
    resolved.gid = gid;
  } else if (!group_part.empty() && !FindGroup(group, group_part, &resolved.gid)) {
    return Bad(user, "no such group in the image's /etc/group");
  }
  AddMemberships(group, &resolved);
  if (resolved.groups.size() > kMaxGroups) {
    return Bad(user, absl::StrCat("member of more than ", kMaxGroups, " groups"));
  }
  return resolved;
}

}  // namespace berth::image

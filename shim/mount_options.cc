#include "shim/mount_options.h"

#include <sys/mount.h>

#include <algorithm>
#include <iterator>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace berth::shim {
namespace {

constexpr uint64_t kAtime = MOUNT_ATTR__ATIME;

struct Attribute {
  const char* name;
  uint64_t set;
  uint64_t clear;
};

// Each exists with "r" in front too: for all mounts below as well.
constexpr Attribute kAttributes[] = {
    {"ro", MOUNT_ATTR_RDONLY, 0},
    {"rw", 0, MOUNT_ATTR_RDONLY},
    {"nosuid", MOUNT_ATTR_NOSUID, 0},
    {"suid", 0, MOUNT_ATTR_NOSUID},
    {"nodev", MOUNT_ATTR_NODEV, 0},
    {"dev", 0, MOUNT_ATTR_NODEV},
    {"noexec", MOUNT_ATTR_NOEXEC, 0},
    {"exec", 0, MOUNT_ATTR_NOEXEC},
    {"nodiratime", MOUNT_ATTR_NODIRATIME, 0},
    {"diratime", 0, MOUNT_ATTR_NODIRATIME},
    {"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0},
    {"symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW},
    // One of three, so the others are cleared (mount_setattr(2)).
    {"relatime", MOUNT_ATTR_RELATIME, kAtime},
    {"norelatime", MOUNT_ATTR_STRICTATIME, kAtime},
    {"noatime", MOUNT_ATTR_NOATIME, kAtime},
    {"atime", MOUNT_ATTR_RELATIME, kAtime},
    {"strictatime", MOUNT_ATTR_STRICTATIME, kAtime},
    {"nostrictatime", MOUNT_ATTR_RELATIME, kAtime},
};

struct Propagation {
  const char* name;
  uint64_t type;
  bool recursive;
};

constexpr Propagation kPropagations[] = {
    {"private", MS_PRIVATE, false},       {"rprivate", MS_PRIVATE, true},
    {"slave", MS_SLAVE, false},           {"rslave", MS_SLAVE, true},
    {"shared", MS_SHARED, false},         {"rshared", MS_SHARED, true},
    {"unbindable", MS_UNBINDABLE, false}, {"runbindable", MS_UNBINDABLE, true},
};

// {option, the one that it takes back}.
constexpr std::pair<const char*, const char*> kSuperFlags[] = {
    {"sync", "async"},          {"async", "sync"},  {"dirsync", ""},   {"lazytime", "nolazytime"},
    {"nolazytime", "lazytime"}, {"mand", "nomand"}, {"nomand", "mand"}};

// mount(8): "nofail" and its like are about fstab. The others have no way through fsconfig(2).
constexpr const char* kPassedOver[] = {"",         "defaults",   "silent", "loud",
                                       "iversion", "noiversion", "auto",   "noauto",
                                       "nofail",   "_netdev",    "nouser"};
constexpr uint64_t kOwner = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
constexpr Attribute kImplied[] = {{"user", kOwner | MOUNT_ATTR_NOEXEC, 0},
                                  {"users", kOwner | MOUNT_ATTR_NOEXEC, 0},
                                  {"owner", kOwner, 0},
                                  {"group", kOwner, 0}};

void Merge(const Attribute& attribute, uint64_t* set, uint64_t* clear) {
  // The later of two that contradict one another counts.
  *set = (*set & ~(attribute.clear | attribute.set)) | attribute.set;
  *clear = (*clear & ~attribute.set) | attribute.clear;
}

bool TakeAttribute(absl::string_view option, MountOptions* out) {
  for (const Attribute& attribute : kAttributes) {
    if (option == attribute.name) {
      Merge(attribute, &out->set, &out->clear);
      return true;
    }
    if (option.size() > 1 && option[0] == 'r' && option.substr(1) == attribute.name) {
      Merge(attribute, &out->set_recursive, &out->clear_recursive);
      return true;
    }
  }
  return false;
}

bool TakePropagation(absl::string_view option, MountOptions* out) {
  for (const Propagation& propagation : kPropagations) {
    if (option != propagation.name) continue;
    out->propagation = propagation.type;
    out->propagation_recursive = propagation.recursive;
    out->propagations.emplace_back(propagation.type, propagation.recursive);
    return true;
  }
  return false;
}

bool TakeSuperFlag(absl::string_view option, MountOptions* out) {
  for (const auto& [name, opposite] : kSuperFlags) {
    if (option != name) continue;
    std::vector<std::string>& flags = out->super_flags;
    flags.erase(std::remove(flags.begin(), flags.end(), opposite), flags.end());
    flags.emplace_back(name);
    return true;
  }
  return false;
}

bool IsPassedOver(absl::string_view option) {
  return absl::StartsWith(option, "x-") || absl::StartsWith(option, "X-") ||
         absl::StartsWith(option, "comment=") ||
         std::any_of(std::begin(kPassedOver), std::end(kPassedOver),
                     [option](const char* name) { return option == name; });
}

bool TakeAction(absl::string_view option, MountOptions* out) {
  if (option == "bind" || option == "rbind") {
    out->bind = true;
    out->recursive = option == "rbind";
  } else if (option == "idmap" || option == "ridmap") {
    out->map_ids = true;
    out->map_recursive = option == "ridmap";
  } else if (option == "remount") {
    out->remount = true;
  } else if (option == "tmpcopyup") {
    out->copy_up = true;
  } else {
    return false;
  }
  return true;
}

bool TakeImplied(absl::string_view option, MountOptions* out) {
  for (const Attribute& implied : kImplied) {
    if (option != implied.name) continue;
    Merge(implied, &out->set, &out->clear);
    return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<MountOptions> ParseMountOptions(const std::vector<std::string>& options) {
  MountOptions out;
  for (const std::string& option : options) {
    if (IsPassedOver(option) || TakeAction(option, &out) || TakeAttribute(option, &out) ||
        TakePropagation(option, &out) || TakeSuperFlag(option, &out) || TakeImplied(option, &out)) {
      continue;
    }
    const size_t equals = option.find('=');
    if (equals == 0 || equals + 1 == option.size()) {
      return absl::InvalidArgumentError(absl::StrCat("malformed option \"", option, "\""));
    }
    out.data.emplace_back(option.substr(0, equals),
                          equals == std::string::npos ? "" : option.substr(equals + 1));
  }
  return out;
}

}  // namespace berth::shim

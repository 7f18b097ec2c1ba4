#include "shim/prepare_launch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/mount.h>

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/os/errno_status.h"
#include "base/os/mount.h"
#include "base/os/namespace_file.h"
#include "base/os/user_namespace.h"
#include "base/status_macros.h"
#include "shim/create_mounts.h"
#include "shim/mount_options.h"

namespace berth::shim {
namespace {

using oci::NamespaceType;

absl::Status Invalid(absl::string_view path, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", why));
}

bool IsHandedOver(const LaunchDocument& document, NamespaceType type) {
  return std::any_of(document.namespaces.begin(), document.namespaces.end(),
                     [type](const auto& handed) { return handed.first == type; });
}

absl::StatusOr<int> OpenPath(const std::string& path, std::vector<os::UniqueFd>* held) {
  if (!absl::StartsWith(path, "/")) {
    return absl::InvalidArgumentError(absl::StrCat("\"", path, "\" is not absolute"));
  }
  absl::StatusOr<os::UniqueFd> opened = os::OpenNamespaceFile(path);
  if (!opened.ok()) return WithCode(absl::StatusCode::kInvalidArgument, opened.status(), "");
  held->push_back(*std::move(opened));
  return held->back().get();
}

absl::Status JoinByPath(const oci::Namespace& wanted, const std::string& path,
                        LaunchDocument* document, std::vector<os::UniqueFd>* held) {
  ASSIGN_OR_RETURN_CTX(const int fd, OpenPath(wanted.path, held), path);
  const uint64_t flag = NamespaceFlag(wanted.type);
  const absl::StatusOr<uint64_t> type = os::NamespaceTypeOf(fd);
  if (!type.ok()) return Invalid(path, absl::StrCat(wanted.path, " is no namespace"));
  if (*type != flag) {
    const char* name = os::NamespaceName(*type);
    return Invalid(
        path, absl::StrCat(wanted.path, " is a namespace of type ",
                           name == nullptr ? "unknown" : name, ", not ", os::NamespaceName(flag)));
  }
  document->namespaces.emplace_back(wanted.type, fd);
  if (wanted.type != NamespaceType::kUser) return absl::OkStatus();
  ASSIGN_OR_RETURN(const bool is_runtimes, os::IsOwnNamespace(fd, flag));
  if (is_runtimes) return Invalid(path, absl::StrCat(wanted.path, " is the runtime's own"));
  ASSIGN_OR_RETURN_CTX(os::UserMappings mappings, os::ReadUserMappings(fd), path);
  os::UserMappings& given = document->spec.linux_.mappings;
  if (!given.empty() && !(given.uids == mappings.uids && given.gids == mappings.gids)) {
    return Invalid("linux.uidMappings", absl::StrCat("are not those of ", wanted.path));
  }
  if (mappings.uids.empty() || mappings.gids.empty()) {
    return Invalid(path, absl::StrCat(wanted.path, " maps no ids"));
  }
  given = std::move(mappings);
  return absl::OkStatus();
}

absl::Status MakeUser(const std::string& path, LaunchDocument* document,
                      std::vector<os::UniqueFd>* held) {
  const os::UserMappings& mappings = document->spec.linux_.mappings;
  if (mappings.uids.empty() || mappings.gids.empty()) {
    return Invalid(mappings.uids.empty() ? "linux.uidMappings" : "linux.gidMappings",
                   "a new user namespace needs them");
  }
  absl::StatusOr<os::UserNamespaces> made = os::MakeUserNamespace(mappings, 0);
  if (!made.ok()) {  // EINVAL: ranges that overlap, too many of them
    const bool theirs = os::IsErrno(made.status(), EINVAL) || os::IsErrno(made.status(), EPERM);
    return theirs ? WithCode(absl::StatusCode::kInvalidArgument, made.status(), path)
                  : Annotate(made.status(), path);
  }
  document->namespaces.emplace_back(NamespaceType::kUser, made->user.get());
  held->push_back(std::move(made->user));
  return absl::OkStatus();
}

bool Has(const LaunchDocument& document, NamespaceType type) {
  const auto& namespaces = document.spec.linux_.namespaces;
  return std::any_of(namespaces.begin(), namespaces.end(),
                     [type](const oci::Namespace& n) { return n.type == type; });
}

absl::Status CloneCgroups(int index, int cgroup_v2_fd, LaunchDocument* document,
                          std::vector<os::UniqueFd>* held) {
  const auto clone = [&](const std::string& name, int directory) -> absl::Status {
    ASSIGN_OR_RETURN_CTX(os::DetachedMount tree, os::CloneTree(directory, "", false),
                         absl::StrCat("mounts[", index, "]: show cgroup ", name));
    RETURN_IF_ERROR(os::SetMountAttributes(tree.get(), 0, 0, MS_PRIVATE, false));
    document->cgroup_trees.push_back({index, name, tree.get()});
    held->push_back(std::move(tree));
    return absl::OkStatus();
  };
  for (const auto& [controllers, fd] : document->cgroup_v1) {
    RETURN_IF_ERROR(clone(controllers, fd));
  }
  return cgroup_v2_fd >= 0 ? clone("", cgroup_v2_fd) : absl::OkStatus();
}

// A file system of a type that names things of the host (a device, directories, a server).
absl::Status MakeMount(int index, const oci::Mount& mount, LaunchDocument* document,
                       std::vector<os::UniqueFd>* held) {
  const std::string path = absl::StrCat("mounts[", index, "]");
  ASSIGN_OR_RETURN_CTX(const MountOptions options, ParseMountOptions(mount.options),
                       absl::StrCat(path, ".options"));
  if (options.copy_up) return Invalid(path, "option tmpcopyup is tmpfs's");
  absl::StatusOr<os::DetachedMount> made = os::NewMount(
      mount.type, FileSystemOptions(mount, options), (options.set | options.set_recursive));
  if (os::IsErrno(made.status(), ENODEV)) {
    return WithCode(absl::StatusCode::kInvalidArgument, made.status(),
                    absl::StrCat(path, ".type: \"", mount.type, "\""));
  }
  if (!made.ok()) {
    return WithCode(absl::StatusCode::kInvalidArgument, made.status(),
                    absl::StrCat(path, ": ", mount.destination));
  }
  document->mount_trees.emplace_back(index, made->get());
  document->made_mounts.push_back(index);
  held->push_back(*std::move(made));
  return absl::OkStatus();
}

}  // namespace

uint64_t NamespaceFlag(NamespaceType type) {
  switch (type) {
    case NamespaceType::kPid:
      return CLONE_NEWPID;
    case NamespaceType::kNetwork:
      return CLONE_NEWNET;
    case NamespaceType::kMount:
      return CLONE_NEWNS;
    case NamespaceType::kIpc:
      return CLONE_NEWIPC;
    case NamespaceType::kUts:
      return CLONE_NEWUTS;
    case NamespaceType::kCgroup:
      return CLONE_NEWCGROUP;
    case NamespaceType::kUser:
      return CLONE_NEWUSER;
    case NamespaceType::kTime:
      return CLONE_NEWTIME;
  }
  return 0;
}

absl::Status PrepareNamespaces(LaunchDocument* document, std::vector<os::UniqueFd>* held) {
  const std::vector<oci::Namespace> namespaces = document->spec.linux_.namespaces;
  std::set<NamespaceType> seen;
  for (size_t i = 0; i < namespaces.size(); ++i) {
    const oci::Namespace& wanted = namespaces[i];
    const std::string path = absl::StrCat("linux.namespaces[", i, "]");
    const char* name = os::NamespaceName(NamespaceFlag(wanted.type));
    if (!seen.insert(wanted.type).second) {
      return Invalid(absl::StrCat(path, ".type"), absl::StrCat("a second one of type ", name));
    }
    if (!os::HasNamespaces(NamespaceFlag(wanted.type))) {
      return Invalid(absl::StrCat(path, ".type"),
                     absl::StrCat("this kernel has no ", name, " namespaces"));
    }
    const bool handed = IsHandedOver(*document, wanted.type);
    if (!wanted.path.empty()) {
      if (handed) return Invalid(absl::StrCat(path, ".path"), "one was handed over, too");
      RETURN_IF_ERROR(JoinByPath(wanted, absl::StrCat(path, ".path"), document, held));
    } else if (wanted.type == NamespaceType::kUser && !handed) {
      RETURN_IF_ERROR(MakeUser(path, document, held));
    }
  }
  return absl::OkStatus();
}

absl::Status PrepareMounts(LaunchDocument* document, int cgroup_v2_fd,
                           std::vector<os::UniqueFd>* held) {
  const std::vector<std::pair<int, int>> handed = document->mount_trees;
  const std::vector<oci::Mount>& mounts = document->spec.mounts;
  for (int i = 0; i < static_cast<int>(mounts.size()); ++i) {
    const bool has_tree = std::any_of(handed.begin(), handed.end(),
                                      [i](const auto& tree) { return tree.first == i; });
    if (has_tree || IsBind(mounts[i]) || IsRemount(mounts[i])) continue;
    if (mounts[i].type == "cgroup" || mounts[i].type == "cgroup2") {
      if (Has(*document, NamespaceType::kCgroup)) continue;
      RETURN_IF_ERROR(CloneCgroups(i, cgroup_v2_fd, document, held));
    } else if (!IsMadeInside(mounts[i].type)) {
      RETURN_IF_ERROR(MakeMount(i, mounts[i], document, held));
    }
  }
  return absl::OkStatus();
}

}  // namespace berth::shim

#include "shim/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/os/errno_status.h"
#include "base/status_macros.h"

namespace berth::shim {
namespace {

// "lowerdir+" came with Linux 6.5; before, all layers share one string of at most a page.
bool HasLowerdirPlus() {
  utsname name;
  int major = 0;
  int minor = 0;
  if (uname(&name) != 0) return false;
  if (sscanf(name.release, "%d.%d", &major, &minor) != 2) return false;  // NOLINT(cert-err34-c)
  return std::make_pair(major, minor) >= std::make_pair(6, 5);
}

// "layers/" of "layers/1/fs" and "layers/2/fs": the longest directory that all share.
std::string CommonParent(const std::vector<std::string>& paths) {
  size_t size = paths.front().size();
  for (const std::string& path : paths) {
    size_t same = 0;
    while (same < std::min(size, path.size()) && path[same] == paths.front()[same]) ++same;
    size = same;
  }
  const size_t slash = paths.front().substr(0, size).rfind('/');
  return slash == std::string::npos ? "" : paths.front().substr(0, slash + 1);
}

absl::StatusOr<os::DetachedMount> NewOverlay(std::vector<std::string> lowers,
                                             const std::string& data_dir, const OverlayRoot& root) {
  std::vector<std::pair<std::string, std::string>> options = {{"source", "overlay"}};
  if (HasLowerdirPlus()) {
    for (std::string& lower : lowers) options.emplace_back("lowerdir+", std::move(lower));
  } else {
    options.emplace_back("lowerdir", absl::StrJoin(lowers, ":"));
  }
  options.emplace_back("upperdir", absl::StrCat(data_dir, "/", root.upper));
  options.emplace_back("workdir", absl::StrCat(data_dir, "/", root.work));
  options.emplace_back("redirect_dir", "off");
  options.emplace_back("metacopy", "off");
  options.emplace_back("index", "off");
  if (root.is_volatile) options.emplace_back("volatile", "");
  return os::NewMount("overlay", options, 0);
}

}  // namespace

absl::StatusOr<os::DetachedMount> MakeOverlay(const std::string& data_dir,
                                              const OverlayRoot& root) {
  const std::string parent = CommonParent(root.lowers);
  const std::string directory = absl::StrCat(data_dir, "/", parent);
  if (chdir(directory.c_str()) != 0) {
    return os::ErrnoStatus(errno, absl::StrCat("enter layer directory ", directory));
  }
  std::vector<std::string> lowers;
  lowers.reserve(root.lowers.size());
  for (const std::string& lower : root.lowers) lowers.push_back(lower.substr(parent.size()));
  return NewOverlay(std::move(lowers), data_dir, root);
}

absl::StatusOr<os::DetachedMount> MakeMappedOverlay(const std::string& data_dir,
                                                    const OverlayRoot& root,
                                                    const MappedRoot& mapped) {
  std::vector<os::DetachedMount> layers;
  std::vector<std::string> lowers;
  for (const std::string& lower : root.lowers) {
    const std::string path = absl::StrCat(data_dir, "/", lower);
    ASSIGN_OR_RETURN(os::DetachedMount layer, os::CloneTree(AT_FDCWD, path, /*recursive=*/false));
    RETURN_IF_ERROR_CTX(os::SetIdMapping(layer.get(), mapped.user_fd, /*recursive=*/false),
                        absl::StrCat("map ids of layer ", path));
    RETURN_IF_ERROR(os::AttachMount(layer.get(), AT_FDCWD, "/root"));
    lowers.push_back(absl::StrCat("/proc/self/fd/", layer.get()));
    layers.push_back(std::move(layer));
  }
  for (const std::string& own : {root.upper, root.work}) {
    const std::string path = absl::StrCat(data_dir, "/", own);
    if (lchown(path.c_str(), mapped.uid, mapped.gid) != 0) {
      return os::ErrnoStatus(errno, absl::StrCat("give the user namespace's root ", path));
    }
  }
  return NewOverlay(std::move(lowers), data_dir, root);
}

}  // namespace berth::shim

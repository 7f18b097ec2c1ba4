#include "image/layer_store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/os/mount.h"
#include "base/status_macros.h"

namespace berth::image {
namespace {

absl::StatusOr<os::UniqueFd> OpenStateDir(const std::string& path) {
  RETURN_IF_ERROR(os::EnsureDir(path, 0700));
  return os::Open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

// The worker may not write trusted.* attributes, so the daemon does. A path that the worker names
// cannot lead out of the layer.
absl::Status MarkOpaque(int layer_fd, const std::string& directory) {
  absl::StatusOr<os::UniqueFd> fd =
      os::OpenInRoot(layer_fd, directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!fd.ok() || fsetxattr(fd->get(), "trusted.overlay.opaque", "y", 1, 0) != 0) {
    const absl::Status why = fd.ok() ? os::ErrnoStatus(errno, "setxattr") : fd.status();
    return Annotate(why, absl::StrCat("mark opaque directory ", absl::CHexEscape(directory)));
  }
  return absl::OkStatus();
}

bool IsStagedName(const std::string& name) {
  return !name.empty() && name.size() <= 20 &&
         std::all_of(name.begin(), name.end(), absl::ascii_isdigit);
}

absl::StatusOr<os::UniqueFd> OpenStaged(const Staging& staging, const StagedLayer& layer) {
  if (!IsStagedName(layer.directory)) {
    return absl::InternalError(
        absl::StrCat("open staged layer: bad name \"", absl::CHexEscape(layer.directory), "\""));
  }
  return os::OpenAt(staging.fd.get(), layer.directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

}  // namespace

absl::StatusOr<std::unique_ptr<LayerStore>> LayerStore::Open(const std::string& data_dir) {
  std::unique_ptr<LayerStore> store(new LayerStore);
  ASSIGN_OR_RETURN(store->layers_, OpenStateDir(absl::StrCat(data_dir, "/layers")));
  ASSIGN_OR_RETURN(store->staging_, OpenStateDir(absl::StrCat(data_dir, "/staging")));
  ASSIGN_OR_RETURN(store->trash_, OpenStateDir(absl::StrCat(data_dir, "/trash")));
  WorkerPool::Options pool;
  pool.name = "image-trash";
  pool.max_threads = 1;
  pool.max_queue = 2;
  store->pool_ = std::make_unique<WorkerPool>(pool);
  ASSIGN_OR_RETURN(const std::vector<std::string> left, os::ListDir(store->staging_.get(), "."));
  for (const std::string& name : left) {
    RETURN_IF_ERROR(store->MoveToTrash(store->staging_.get(), name).status());
  }
  return store;
}

LayerStore::~LayerStore() { stop_ = true; }

absl::StatusOr<std::set<Digest>> LayerStore::List() const {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, os::ListDir(layers_.get(), "."));
  std::set<Digest> layers;
  for (const std::string& name : names) {
    absl::StatusOr<Digest> digest = Digest::FromSha256Hex(name);
    struct stat st;
    if (digest.ok() && fstatat(layers_.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISDIR(st.st_mode)) {
      layers.insert(*digest);
      continue;
    }
    RETURN_IF_ERROR(MoveToTrash(layers_.get(), name).status());
  }
  return layers;
}

absl::StatusOr<Staging> LayerStore::NewStaging() const {
  Staging staging;
  staging.name = NewHexId();
  if (mkdirat(staging_.get(), staging.name.c_str(), 0700) != 0) {
    return os::ErrnoStatus(errno, "make staging directory");
  }
  ASSIGN_OR_RETURN(staging.fd,
                   os::OpenAt(staging_.get(), staging.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  return staging;
}

absl::Status LayerStore::RemoveStaging(const Staging& staging) const {
  return os::RemoveTree(staging_.get(), staging.name);
}

absl::Status LayerStore::Commit(const Staging& staging, const std::vector<StagedLayer>& layers) {
  for (const StagedLayer& layer : layers) {
    ASSIGN_OR_RETURN(const os::UniqueFd fd, OpenStaged(staging, layer));
    for (const std::string& directory : layer.opaque_dirs) {
      RETURN_IF_ERROR(MarkOpaque(fd.get(), directory));
    }
  }
  // On an fd from before the writes: so the kernel reports every error of writing them back.
  if (syncfs(layers_.get()) != 0) return os::ErrnoStatus(errno, "flush layers");
  BERTH_FAILPOINT(image_before_rename);
  for (const StagedLayer& layer : layers) {
    RETURN_IF_ERROR_CTX(Install(staging, layer),
                        absl::StrCat("install layer ", layer.diff_id.str()));
    BERTH_FAILPOINT(image_after_rename);
  }
  if (fsync(layers_.get()) != 0) return os::ErrnoStatus(errno, "flush layers directory");
  return absl::OkStatus();
}

absl::Status LayerStore::Install(const Staging& staging, const StagedLayer& layer) {
  const std::string hex = layer.diff_id.hex();
  // Whatever is there has no record: this layer was absent when it was claimed.
  RETURN_IF_ERROR(MoveToTrash(layers_.get(), hex).status());
  if (renameat2(staging.fd.get(), layer.directory.c_str(), layers_.get(), hex.c_str(),
                RENAME_NOREPLACE) != 0) {
    return os::ErrnoStatus(errno, "rename");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> LayerStore::MoveToTrash(int dir_fd, const std::string& name) const {
  std::string there = NewHexId();
  if (renameat2(dir_fd, name.c_str(), trash_.get(), there.c_str(), RENAME_NOREPLACE) == 0) {
    return there;
  }
  if (errno == ENOENT) return std::string();
  return os::ErrnoStatus(errno, absl::StrCat("move ", name, " to trash"));
}

absl::Status LayerStore::Discard(const Digest& layer, const LayerFacts& facts) {
  ASSIGN_OR_RETURN(const std::string there, MoveToTrash(layers_.get(), layer.hex()));
  if (there.empty()) return absl::OkStatus();
  {
    MutexLock lock(&mu_);
    trash_facts_[there] = facts;
  }
  BERTH_FAILPOINT(image_trash_after_rename);
  EmptyTrash();
  return absl::OkStatus();
}

void LayerStore::EmptyTrash() {
  {
    MutexLock lock(&mu_);
    if (emptying_) return;
    emptying_ = true;
  }
  const absl::Status submitted = pool_->Submit([this] {
    {
      // Before the look: what is moved in from here on asks for a look of its own.
      MutexLock lock(&mu_);
      emptying_ = false;
    }
    if (absl::Status status = DeleteTrash(); !status.ok()) {
      LogWarning("cannot empty the image trash", {{"error", status.ToString()}});
    }
  });
  if (submitted.ok()) return;
  MutexLock lock(&mu_);
  emptying_ = false;  // it stays until the next time
}

absl::Status LayerStore::DeleteTrash() {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, os::ListDir(trash_.get(), "."));
  absl::Status first_error;
  for (const std::string& name : names) {
    if (stop_) break;
    BERTH_FAILPOINT(image_trash_before_delete);
    if (absl::Status s = os::RemoveTree(trash_.get(), name); !s.ok()) {
      // It waits for the next time, and does not keep the others.
      first_error.Update(s);
      continue;
    }
    MutexLock lock(&mu_);
    trash_facts_.erase(name);
  }
  return first_error;
}

LayerFacts LayerStore::TrashTotal() const {
  MutexLock lock(&mu_);
  LayerFacts total;
  for (const auto& [name, facts] : trash_facts_) {
    total.bytes += facts.bytes;
    total.inodes += facts.inodes;
  }
  return total;
}

absl::StatusOr<std::string> LayerStore::MountPoint() const {
  struct statx stx;
  if (statx(layers_.get(), "", AT_EMPTY_PATH, STATX_MNT_ID, &stx) != 0) {
    return os::ErrnoStatus(errno, "stat layers directory");
  }
  ASSIGN_OR_RETURN(const std::string text, os::ReadFile("/proc/self/mountinfo", 64 << 20));
  ASSIGN_OR_RETURN(const std::vector<os::MountEntry> mounts, os::ParseMountInfo(text));
  for (const os::MountEntry& mount : mounts) {
    if (mount.id == stx.stx_mnt_id) return mount.target;
  }
  return absl::InternalError("find mount of layers directory: not in mountinfo");
}

}  // namespace berth::image

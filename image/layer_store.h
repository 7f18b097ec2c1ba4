// LayerStore: the directories of unpacked layers. What is in layers/ without a record is garbage,
// what is in staging/ or trash/ at start too.
//
//   layers/<diffID hex>/     durable before its record is written
//   staging/<random>/<n>/    a worker unpacks here
//   trash/<random>           deleted in the background, one at a time; resumed at the next start
//
// Thread-safe: directory fds are fixed, names in staging/ and trash/ are random.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "base/mutex.h"
#include "base/os/unique_fd.h"
#include "base/worker_pool.h"
#include "image/image_records.h"

namespace berth::image {

// A staging directory of one import.
struct Staging {
  std::string name;
  os::UniqueFd fd;
};

// A layer that waits in a staging directory to be committed.
struct StagedLayer {
  Digest diff_id;
  std::string directory;                 // one name below the staging directory
  std::vector<std::string> opaque_dirs;  // relative to the layer, "." is its root
  LayerFacts facts;
};

class LayerStore {
 public:
  // Makes the directories and moves what was left in staging/ to the trash. Begin deletion with
  // EmptyTrash().
  static absl::StatusOr<std::unique_ptr<LayerStore>> Open(const std::string& data_dir);
  // Waits for the deletion that runs; what is left stays in trash/.
  ~LayerStore();

  // The layers there are; anything in layers/ that is none is moved to the trash.
  absl::StatusOr<std::set<Digest>> List() const;

  absl::StatusOr<Staging> NewStaging() const;
  absl::Status RemoveStaging(const Staging& staging) const;

  // Marks opaque directories, flushes the file system, renames to layers/ and makes the names
  // durable. On error the layers may be in either place: Discard() them.
  absl::Status Commit(const Staging& staging, const std::vector<StagedLayer>& layers);

  // Moves a layer to the trash and begins to delete it. Absent is success.
  absl::Status Discard(const Digest& layer, const LayerFacts& facts);
  void EmptyTrash();
  // What discarded layers still use.
  LayerFacts TrashTotal() const;

  // The mount that holds the directories.
  absl::StatusOr<std::string> MountPoint() const;

 private:
  LayerStore() = default;
  absl::Status Install(const Staging& staging, const StagedLayer& layer);
  // The name that it has in trash/; "" when there was nothing to move.
  absl::StatusOr<std::string> MoveToTrash(int dir_fd, const std::string& name) const;
  absl::Status DeleteTrash();

  os::UniqueFd layers_;
  os::UniqueFd staging_;
  os::UniqueFd trash_;
  mutable Mutex mu_;
  std::map<std::string, LayerFacts> trash_facts_ ABSL_GUARDED_BY(mu_);
  bool emptying_ ABSL_GUARDED_BY(mu_) = false;  // a task is queued and has not looked yet
  std::atomic<bool> stop_{false};
  std::unique_ptr<WorkerPool> pool_;  // one thread; last, so that it ends before the rest goes
};

}  // namespace berth::image

// ImageStore: images and unpacked layers on disk, their records, and the worker that makes them.
//
//   <data>/layers/<diffID hex>/            one unpacked layer in overlay form, shared by diffID
//   <data>/staging/<id>/                   a layer being unpacked; whatever is here at start is
//   deleted <data>/trash/<id>                      renamed here first, deleted later
//
// Thread-safe. Reads come from an immutable snapshot; no lock is held over I/O.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/os/unique_fd.h"
#include "base/store/store.h"

namespace berth::image {

// The parts of an image's config that a runtime uses (image-spec, config.md).
struct ImageConfig {
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::vector<std::string> env;
  std::string user;
  std::string working_dir;
  std::string stop_signal;
  std::vector<std::string> volumes;
  std::map<std::string, std::string> labels;
  std::string architecture;
  std::string os;
};

struct Image {
  Digest id;                              // of the config: CRI's image id
  std::vector<std::string> repo_tags;     // "registry/name:tag", sorted
  std::vector<std::string> repo_digests;  // "registry/name@sha256:..", sorted
  uint64_t size = 0;                      // bytes of the unpacked layers, never 0
  bool pinned = false;
  ImageConfig config;
  std::vector<Digest> layers;  // diffIDs, base first
};
using ImagePtr = std::shared_ptr<const Image>;

struct ImportOptions {
  std::string origin;  // for messages: the file's path
  std::string name;    // overrides the names in the archive when not empty
  bool pinned = false;
};

// What a registry is given, as in the CRI's AuthConfig. Kept for the time of one pull; never
// logged, never part of a message.
struct RegistryAuth {
  std::string username;
  std::string password;
  std::string auth;            // base64 of "username:password"
  std::string identity_token;  // to be exchanged for a bearer token
  std::string registry_token;  // a bearer token as it is
  std::string server_address;  // whose credentials these are; "" = those of the image's registry
  auto operator<=>(const RegistryAuth&) const = default;
};

struct PullOptions {
  std::string reference;  // as people write it
  RegistryAuth auth;
};

// A pull as an operator sees it.
struct PullStatus {
  std::string reference;        // canonical
  absl::Duration age;           // since its first caller
  bool queued = false;          // waits for another pull to end
  int callers = 0;              // who wait for it
  uint64_t bytes_received = 0;  // compressed
  uint64_t bytes_total = 0;     // 0: not known yet
};

struct FsUsage {
  std::string mountpoint;  // of the file system that holds the data directory
  uint64_t bytes = 0;
  uint64_t inodes = 0;
};

class ImageStore {
 public:
  struct Options {
    std::string data_dir;
    std::string worker_path;  // the berth-image binary
    uint64_t max_layer_bytes = 32ull << 30;
    absl::Duration import_timeout = absl::Minutes(30);
    std::string registry_hosts_dir;  // of <host>/hosts.toml; "" = none is read
    uint32_t pull_parallel_layers = 3;
    size_t pull_max_concurrent = 8;  // more wait for their turn
    absl::Duration pull_no_progress_timeout = absl::Minutes(5);
  };
  // Reads the records, deletes leftovers of a crash, drops images whose layers are gone (with a
  // warning). `store` is not owned.
  static absl::StatusOr<std::unique_ptr<ImageStore>> Open(Options options, store::Store* store);
  virtual ~ImageStore() = default;

  // Imports every image of an OCI layout tar or docker-archive. InvalidArgument: the archive is
  // broken, says an unsafe path, or a digest does not match, with the entry named. Nothing is left
  // on error. A name that another image held moves to the new one.
  virtual absl::StatusOr<std::vector<ImagePtr>> Import(os::UniqueFd archive,
                                                       const ImportOptions& options) = 0;
  // Imports each *.tar of a directory (regular files, no hidden ones, by name) that its record does
  // not know yet by (name, size, mtime, inode), pinned. A broken one is logged and recorded, and
  // does not fail the call; an error that is not the archive's is logged and tried again the next
  // time. An absent directory is an empty one. Removing an image forgets the files that brought it:
  // what lies in the directory is there again after the next call, so delete the file to be rid of
  // it.
  virtual absl::Status ImportDirectory(const std::string& directory) = 0;

  // Pulls one image. Callers with the same reference and credentials share one pull; it is given up
  // when the last of them has cancelled. Nothing is left on error, but for layers that an image of
  // another pull has. The registry is always asked, also for what is here already.
  // A tag moves to the image; a digest reference ("name:tag@digest" too) gives no tag.
  // InvalidArgument: malformed reference or image. Unavailable: no registry answers. NotFound,
  // Unauthenticated, PermissionDenied: what it answers. DataLoss: bytes without their digest.
  virtual absl::StatusOr<ImagePtr> Pull(const PullOptions& options, const Cancel& cancel) = 0;
  virtual std::vector<PullStatus> Pulls() const = 0;

  virtual std::vector<ImagePtr> List() const = 0;
  // By id ("sha256:<hex>" or a unique hex prefix of 12 or more), tag (normalised:
  // docker.io/library/ and :latest are filled in), digest reference, name:tag@digest. nullptr: not
  // here.
  virtual ImagePtr Find(absl::string_view reference) const = 0;
  // Removes the image with all its names; running containers keep their layers. Absent is success.
  virtual absl::Status Remove(absl::string_view reference) = 0;
  virtual absl::StatusOr<FsUsage> Usage() const = 0;

  // Keeps the layers of an image on disk for `holder` (a container id) until Unhold; in memory
  // only: the caller holds again for each of its records at start, before CollectGarbage.
  // NotFound: a layer is not on disk.
  virtual absl::Status Hold(const std::string& holder, const std::vector<Digest>& layers) = 0;
  // Layers that nobody needs afterwards are deleted in the background, once CollectGarbage has been
  // called.
  virtual void Unhold(const std::string& holder) = 0;
  // Deletes layers that no image and no holder has.
  virtual absl::Status CollectGarbage() = 0;

  // "layers/<hex>" relative to the data directory, topmost first, as overlay wants lowers.
  virtual std::vector<std::string> LowerPaths(const std::vector<Digest>& layers) const = 0;
};

}  // namespace berth::image

// What the launcher hands to `berth-shim create`: fds at fixed numbers and one JSON document in a
// memfd; and the one packet that comes back. Version 2. Written by shim/launcher.cc, read by
// shim/create.cc. Documented in docs/formats/shim-launch.md.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "shim/launcher.h"

namespace berth::shim {

// Numbers in the shim. Absent ones are not open there.
enum LaunchFd : int {
  kControlFd = 3,   // SOCK_SEQPACKET pair end: one CreateReply, then closed
  kDocumentFd = 4,  // memfd: the JSON document
  kRunDirFd = 5,    // the container's run directory
  kListenFd = 6,    // bound and listening SOCK_SEQPACKET socket "<run dir>/shim.sock"
  kHolderNsFd = 7,  // mount namespace to set up in: /data, /run, /proc, /root
  kProgramFd = 8,   // this very program, sealed: what the monitor is exec'd from
  kLogFd = 9,
  kSeccompFd = 10,   // memfd with sock_filter bytes
  kCgroupV2Fd = 11,  // directory of the container's group in the v2 tree
  kFirstExtraFd =
      16  // v1 cgroup directories, then mount trees, then namespaces, as the document says
};

// What a "cgroup" mount shows without a cgroup namespace: one of the container's own groups.
struct CgroupTree {
  int mount;         // index into spec.mounts
  std::string name;  // "cpu,cpuacct", "name=systemd"; "" = the v2 group
  int fd;            // detached mount
};

struct LaunchDocument {
  std::string container_id;
  oci::Spec spec;
  std::string bundle;  // what a listener's agent is told; "" = none
  OverlayRoot root;
  SeccompFilter seccomp;  // its program comes as kSeccompFd
  std::string boot_id;
  int oom_score_adj = 0;  // of the shim itself
  bool keep_stdin_open = false;
  LogLimits log_limits;
  std::vector<std::pair<std::string, int>> cgroup_v1;          // {controllers, directory fd}
  bool cgroup_v2 = false;                                      // kCgroupV2Fd is there
  std::vector<std::pair<int, int>> mount_trees;                // {index into spec.mounts, fd}
  std::vector<std::pair<oci::NamespaceType, int>> namespaces;  // {type, fd}

  // Not in the JSON: added by PrepareMounts (shim/prepare_launch.h).
  std::vector<CgroupTree> cgroup_trees;
  std::vector<int> made_mounts;  // those of mount_trees that are new file systems
};
std::string ToJson(const LaunchDocument& document);
absl::StatusOr<LaunchDocument> ParseLaunchDocument(absl::string_view json);

// absl::StatusCode of a failure travels as a number; message is NUL-terminated, cut if longer.
struct CreateReply {
  uint32_t version = 1;
  int32_t code = 0;       // absl::StatusCode; 0 = created
  int32_t init_pid = -1;  // as the shim sees it (host pid namespace)
  uint64_t init_start_time = 0;
  char message[1024] = {};
};

}  // namespace berth::shim

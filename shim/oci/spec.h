// The OCI runtime specification's config.json as typed values: the part that Berth's shim acts on
// (https://github.com/opencontainers/runtime-spec, config.md and config-linux.md, 1.2). ParseSpec
// refuses what it cannot honour, naming the JSON path. Values; thread-safe.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/os/cgroup.h"
#include "base/os/user_namespace.h"

namespace berth::shim::oci {

struct Rlimit {
  std::string type;  // "RLIMIT_NOFILE"
  uint64_t hard = 0;
  uint64_t soft = 0;
};

struct Capabilities {  // names, "CAP_CHOWN"
  std::vector<std::string> bounding, effective, inheritable, permitted, ambient;
};

struct User {
  uid_t uid = 0;
  gid_t gid = 0;
  std::optional<uint32_t> umask;
  std::vector<gid_t> additional_gids;
};

struct Process {
  bool terminal = false;
  User user;
  std::vector<std::string> args;
  std::vector<std::string> env;  // "KEY=value"; bytes, not necessarily UTF-8
  std::string cwd = "/";
  Capabilities capabilities;
  std::vector<Rlimit> rlimits;
  bool no_new_privileges = false;
  std::optional<int> oom_score_adj;
};

struct Mount {
  std::string destination;  // absolute, inside the container
  std::string type;         // "bind", "proc", "tmpfs", ...
  std::string source;
  std::vector<std::string> options;  // as mount(8): "ro", "nosuid", "rbind", "rprivate", "size=..."
  os::UserMappings mappings = {};  // not empty: the source is shown through them, an idmapped mount
};

enum class NamespaceType { kPid, kNetwork, kMount, kIpc, kUts, kUser, kCgroup, kTime };

struct Namespace {
  NamespaceType type = NamespaceType::kPid;
  std::string path;  // "" = a new one. "fd:N" = the inherited fd N (Berth's own launch)
};

struct Device {
  std::string path;
  char type = 'c';  // c, b, u, p
  int64_t major = 0;
  int64_t minor = 0;
  uint32_t file_mode = 0666;
  uid_t uid = 0;
  gid_t gid = 0;
};

struct Linux {
  std::vector<Namespace> namespaces;
  os::UserMappings mappings = {};  // of the user namespace
  std::vector<Device> devices;
  std::string cgroups_path;
  os::CgroupLimits resources;
  std::map<std::string, std::string> sysctl;
  std::vector<std::string> masked_paths;
  std::vector<std::string> readonly_paths;
  std::string rootfs_propagation;  // "" = private
};

struct Spec {
  std::string oci_version = "1.2.0";
  Process process;
  std::string root_path;
  bool root_readonly = false;
  std::string hostname;
  std::vector<Mount> mounts;
  std::map<std::string, std::string> annotations;
  Linux linux_;
};

// InvalidArgument: "process.args: must not be empty", with the JSON path first. Bytes that are not
// UTF-8 (env values are bytes in CRI) travel as the Latin-1 escapes that ToJson writes; see its
// definition.
absl::StatusOr<Spec> ParseSpec(absl::string_view json);
std::string ToJson(const Spec& spec);

}  // namespace berth::shim::oci

// The OCI runtime specification's config.json as typed values: the part that Berth's shim acts on
// (https://github.com/opencontainers/runtime-spec, config.md and config-linux.md, 1.3). The reader
// knows the text alone, nothing of this host: what this kernel or this runtime cannot do is refused
// by who applies it (shim/create_*.cc, base/os/cgroup.h). Values; thread-safe.
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

// sched_setattr(2). `policy` and `flags` are the kernel's names ("SCHED_FIFO",
// "SCHED_FLAG_RESET_ON_FORK").
struct Scheduler {
  std::string policy;
  int32_t nice = 0;
  int32_t priority = 0;
  std::vector<std::string> flags;
  uint64_t runtime_ns = 0;
  uint64_t deadline_ns = 0;
  uint64_t period_ns = 0;
};

struct IoPriority {
  std::string io_class;  // "IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"
  int32_t priority = 0;  // 0..7
};

// Lists of CPUs, "0-3,7"; "" = left alone.
struct CpuAffinity {
  std::string initial;  // of the process that enters the container's cgroup
  std::string final_;   // from then on
};

struct Process {
  bool terminal = false;
  uint16_t console_height = 0;  // rows and columns of the terminal; 0 = the kernel's
  uint16_t console_width = 0;
  User user;
  std::vector<std::string> args;
  std::vector<std::string> env;  // "KEY=value"; bytes, not necessarily UTF-8
  std::string cwd = "/";
  Capabilities capabilities;
  std::vector<Rlimit> rlimits;
  bool no_new_privileges = false;
  std::optional<int> oom_score_adj;
  std::string apparmor_profile = {};  // "" = none
  std::string selinux_label = {};     // "" = none
  std::optional<Scheduler> scheduler = {};
  std::optional<IoPriority> io_priority = {};
  CpuAffinity exec_cpu_affinity = {};  // of execs
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
  std::string path;  // absolute; "" = a new one
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

struct TimeOffset {
  int64_t secs = 0;
  uint32_t nanosecs = 0;
};

struct Personality {
  std::string domain;  // "LINUX", "LINUX32"
  std::vector<std::string> flags;
};

// set_mempolicy(2).
struct MemoryPolicy {
  std::string mode;   // "MPOL_BIND"
  std::string nodes;  // "0-3,7"
  std::vector<std::string> flags;
};

struct IntelRdt {
  std::string clos_id;
  std::string l3_cache_schema;
  std::string mem_bw_schema;
  std::vector<std::string> schemata;
  bool enable_monitoring = false;
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
  std::string mount_label = {};    // SELinux, for file systems made for the container
  std::map<std::string, TimeOffset> time_offsets = {};  // "monotonic", "boottime"
  std::optional<Personality> personality = {};
  std::optional<MemoryPolicy> memory_policy = {};
  std::optional<IntelRdt> intel_rdt = {};
  std::map<std::string, std::string> net_devices =
      {};  // of the host -> its name inside, "" = as is
  // The JSON text of "seccomp", "" = none. shim/seccomp/profile_file.h reads it.
  std::string seccomp = {};
};

struct Hook {
  std::string path;  // absolute
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::optional<int> timeout_seconds;  // > 0
};

// config.md, "POSIX-platform Hooks": in which namespaces each kind runs, and when.
struct Hooks {
  std::vector<Hook> prestart;  // deprecated; run before create_runtime
  std::vector<Hook> create_runtime;
  std::vector<Hook> create_container;
  std::vector<Hook> start_container;
  std::vector<Hook> poststart;
  std::vector<Hook> poststop;
};

struct Spec {
  std::string oci_version = "1.2.0";
  bool has_process = true;  // a document may leave it out until "start"
  Process process;
  std::string root_path;
  bool root_readonly = false;
  std::string hostname;
  std::string domainname = {};
  std::vector<Mount> mounts;
  Hooks hooks = {};
  std::map<std::string, std::string> annotations;
  Linux linux_;
};

// InvalidArgument: "process.args: must not be empty", with the JSON path first. Unknown properties
// and null are as if absent; a name that appears twice in an object is refused. Bytes that are not
// UTF-8 (env values are bytes in CRI) travel as the Latin-1 escapes that ToJson writes; see its
// definition.
absl::StatusOr<Spec> ParseSpec(absl::string_view json);
std::string ToJson(const Spec& spec);

// One object of the document alone, as runc's "exec --process" and "update --resources" take it;
// paths in errors begin below it ("memory.limit: ...").
absl::StatusOr<Process> ParseProcess(absl::string_view json);
absl::StatusOr<os::CgroupLimits> ParseResources(absl::string_view json);

// What the specification has a runtime warn of and go on without: capabilities that this kernel
// does not know. "process.capabilities.bounding: CAP_MOON is unknown: left out".
std::vector<std::string> Warnings(const Spec& spec);

}  // namespace berth::shim::oci

// Control groups behind one interface: v1 (one hierarchy a controller), hybrid (v1 controllers
// beside a v2 tree without them) and v2. Paths are absolute below every hierarchy's root:
// "/kubepods/pod1/<id>". The v2 tree of a hybrid host is always joined too: it has cgroup.kill,
// cgroup.events and cgroup.freeze.
// CgroupHost is immutable after Probe: thread-safe. Sources: cgroups(7), kernel
// Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/os/unique_fd.h"

namespace berth::os {

namespace cgroup_internal {
struct Setting;
}  // namespace cgroup_internal

enum class CgroupLayout { kV1, kHybrid, kV2 };

// blkio (v1) and io (v2). Weights 1..1000 as v1 has them, 0 = unset; rates in bytes or operations a
// second, 0 = no limit.
struct BlockIoLimits {
  struct Weight {
    uint32_t major = 0;
    uint32_t minor = 0;
    uint16_t weight = 0;
    uint16_t leaf_weight = 0;
  };
  struct Rate {
    uint32_t major = 0;
    uint32_t minor = 0;
    uint64_t rate = 0;
  };
  uint16_t weight = 0;
  uint16_t leaf_weight = 0;
  std::vector<Weight> device_weights;
  std::vector<Rate> read_bps;
  std::vector<Rate> write_bps;
  std::vector<Rate> read_iops;
  std::vector<Rate> write_iops;
};

struct RdmaLimits {
  std::optional<uint32_t> hca_handles;
  std::optional<uint32_t> hca_objects;
};

// What a container may use; unset = leave as the kernel has it. Units as in the OCI runtime
// specification, config-linux.md, "Control groups" (v1 values: shares 2..262144, microseconds,
// bytes, -1 = unlimited). Translated for v2 inside.
struct CgroupLimits {
  std::optional<uint64_t> cpu_shares;
  std::optional<int64_t> cpu_quota_us;
  std::optional<uint64_t> cpu_period_us;
  std::optional<uint64_t> cpu_burst_us;
  std::optional<int64_t> cpu_idle;           // 1 = SCHED_IDLE, 0 = not
  std::optional<int64_t> cpu_rt_runtime_us;  // v1 alone, as its period
  std::optional<uint64_t> cpu_rt_period_us;
  std::string cpuset_cpus;
  std::string cpuset_mems;
  std::optional<int64_t> memory_bytes;
  std::optional<int64_t> memory_swap_bytes;         // memory + swap, as v1 counts
  std::optional<int64_t> memory_reservation_bytes;  // v1 soft limit, v2 memory.low
  // v1 alone.
  std::optional<int64_t> memory_kernel_tcp_bytes;
  std::optional<uint64_t> memory_swappiness;  // 0..100
  std::optional<bool> memory_oom_kill_disable;
  std::optional<bool> memory_use_hierarchy;  // this kernel knows nothing else than true
  std::optional<int64_t> pids_max;
  BlockIoLimits block_io;
  std::map<std::string, uint64_t> hugepage_bytes;  // "2MB" -> limit
  std::map<std::string, RdmaLimits> rdma;          // by device
  std::optional<uint32_t> net_class_id;            // v1 net_cls
  std::map<std::string, uint32_t> net_priorities;  // v1 net_prio, by interface
  std::map<std::string, std::string> unified;      // v2 file name -> value; hosts with v2 alone
  struct DeviceRule {
    bool allow = false;
    char type = 'a';  // a, b, c
    std::optional<int64_t> major;
    std::optional<int64_t> minor;
    std::string access = "rwm";
  };
  // In order: of each access the last rule that fits decides, none means allowed. v1 list, v2 eBPF.
  std::vector<DeviceRule> devices;
};

// What a process needs to be born in a group: pass `into` to clone3 (CLONE_INTO_CGROUP) when valid,
// and let the single-threaded child write "0" to each of `tasks` (v1) before it unshares anything.
struct CgroupJoin {
  UniqueFd into;                // v2 directory, invalid on pure v1
  std::vector<UniqueFd> tasks;  // v1 `tasks` files, opened for writing
};

// A file of a group, by its whole path, and what it holds.
struct CgroupFile {
  std::string path;
  std::string value;
};

class CgroupHost {
 public:
  // Looks at `mount_root` (a test passes a fake tree). FailedPrecondition when nothing usable is
  // mounted.
  static absl::StatusOr<CgroupHost> Probe(const std::string& mount_root = "/sys/fs/cgroup");

  CgroupLayout layout() const { return layout_; }
  // Directory of the v2 tree ("" on pure v1), e.g. "/sys/fs/cgroup/unified".
  const std::string& v2_root() const { return v2_root_; }
  // v1 hierarchies: directory of each, by their controller list ("cpu,cpuacct", "name=systemd").
  const std::map<std::string, std::string>& v1_roots() const { return v1_roots_; }
  // True when this host limits `controller` ("memory", "cpu", "pids", "cpuset", "devices",
  // "hugetlb") at all.
  bool Has(const std::string& controller) const;

  // Makes `path` in every hierarchy, parents included (a new v1 cpuset gets its parent's cpus and
  // mems; on v2 the parents get the controllers enabled). On failure what it made is removed again.
  // The value: the topmost directories this call made, for the caller's record; an existing group
  // is not an error.
  absl::StatusOr<std::vector<std::string>> Create(const std::string& path) const;
  // All or nothing is the caller's business: errors begin with the property ("linux.resources.
  // memory.limit: ...") and name file and value. FailedPrecondition: this host, or its cgroup
  // version, has not what a limit needs; only shares, periods and huge pages go without.
  // InvalidArgument: limits that contradict each other.
  absl::Status Apply(const std::string& path, const CgroupLimits& limits) const;

  // Limits of a group that is in use, changed all or nothing (cgroup_update.cc).
  // What the files that Apply would write hold now, in the order of its writes; device rules are
  // not among them.
  absl::StatusOr<std::vector<CgroupFile>> Capture(const std::string& path,
                                                  const CgroupLimits& limits) const;
  // Apply, but InvalidArgument where the kernel refuses a value and FailedPrecondition, naming the
  // usage, for a memory limit below it. Nothing is undone: the caller restores what it captured.
  absl::Status Change(const std::string& path, const CgroupLimits& limits) const;
  // Writes back what Capture saw, last first. InvalidArgument for a file that is not of `path`.
  absl::Status Restore(const std::string& path, const std::vector<CgroupFile>& files) const;

  // The group's directory where `controller` counts and limits; "" when this host has none.
  std::string ControllerDir(const std::string& controller, const std::string& path) const;
  absl::StatusOr<CgroupJoin> OpenJoin(const std::string& path) const;

  // Pids in the group and all groups below it, in any hierarchy.
  absl::StatusOr<std::vector<pid_t>> Pids(const std::string& path) const;
  // Kills everything in it (cgroup.kill; else freeze, kill, thaw) and waits until it is empty.
  // An absent group is success. Zombies of others do not count as alive.
  absl::Status Kill(const std::string& path, Deadline deadline) const;
  // Stops every process in the group and below it, and waits until all stand still; at the deadline
  // (one of them hangs in the kernel) they are let go again: DeadlineExceeded. By cgroup.freeze
  // where there is a v2 tree, else by the v1 freezer; FailedPrecondition where there is neither.
  // Both are idempotent. A frozen group can be killed (Kill).
  absl::Status Freeze(const std::string& path, Deadline deadline) const;
  // DeadlineExceeded: a group above it is frozen, too.
  absl::Status Thaw(const std::string& path, Deadline deadline) const;
  // True when all stands still, because of this group or of one above it.
  absl::StatusOr<bool> IsFrozen(const std::string& path) const;
  // Removes the group and every group below it in each hierarchy. Absent is success; busy is
  // retried on EBUSY until the deadline.
  absl::Status Remove(const std::string& path, Deadline deadline) const;
  // Number of OOM kills in this group (memory.events oom_kill; v1 memory.oom_control oom_kill).
  absl::StatusOr<uint64_t> OomKills(const std::string& path) const;

 private:
  CgroupHost() = default;
  // Root of the v1 hierarchy that has `controller`, "" when none has.
  std::string V1Root(const std::string& controller) const;
  // What Apply writes, in order (cgroup_limits.cc).
  absl::StatusOr<std::vector<cgroup_internal::Setting>> Settings(const std::string& path,
                                                                 const CgroupLimits& limits) const;
  // The group's directory in every hierarchy, v2 last.
  std::vector<std::string> Dirs(const std::string& path) const;
  // Kills what v1 hierarchies list, in rounds of freeze, kill and thaw.
  absl::Status KillListed(const std::string& path, Deadline deadline) const;

  CgroupLayout layout_ = CgroupLayout::kV2;
  std::string v2_root_;
  std::map<std::string, std::string> v1_roots_;
  std::vector<std::string> v2_controllers_;
};

}  // namespace berth::os

// Parts of cgroup.h's implementation: files of one group, limits in v1 and v2 form, v2 device
// filter. Private to base/os. Stateless; thread-safe.
#pragma once

#include <linux/bpf.h>
#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/os/cgroup.h"

namespace berth::os::cgroup_internal {

// InvalidArgument unless `path` is absolute, below the root and without "." and "..".
absl::Status CheckPath(const std::string& path);

// One write to `dir`/`file`; errors name value and file.
absl::Status Write(const std::string& dir, const std::string& file, absl::string_view value);
// Without the trailing newline.
absl::StatusOr<std::string> Read(const std::string& dir, const std::string& file);
// The number behind `key` in a "key value" a line file; 0 when it is not there.
absl::StatusOr<uint64_t> ReadKey(const std::string& dir, const std::string& file,
                                 absl::string_view key);
bool Exists(const std::string& dir, const std::string& file);

// `dir` and all groups below it, parents before children; empty when absent.
absl::StatusOr<std::vector<std::string>> TreeOf(const std::string& dir);
// Live processes in `dir` itself. None when absent.
absl::StatusOr<std::vector<pid_t>> ProcessesOf(const std::string& dir);
// Waits until cgroup.events of a v2 group has this line ("frozen 1").
absl::Status WaitForEvent(const std::string& v2_dir, absl::string_view line, Deadline deadline);
// Waits on cgroup.events until nothing lives in or below a v2 group. Absent is empty.
absl::Status WaitUnpopulated(const std::string& v2_dir, Deadline deadline);

// Directory of the group in a v1 controller's hierarchy, "" when the host has none.
using V1Dir = std::function<std::string(const std::string& controller)>;
absl::Status ApplyV1(const V1Dir& dir_of, const CgroupLimits& limits);
// What ApplyV1 writes to devices.allow and devices.deny: "c 1:3 rwm", "a".
absl::StatusOr<std::string> DeviceRuleText(const CgroupLimits::DeviceRule& rule);

absl::Status ApplyV2(const std::string& dir, const CgroupLimits& limits);
absl::Status ApplyV2Unified(const std::string& dir, const CgroupLimits& limits);
// v1 cpu.shares (2..262144) as v2 cpu.weight (1..10000).
uint64_t CpuWeight(uint64_t shares);

// The device rules as an eBPF program: the last rule that fits decides, none means allowed (as in a
// new v1 group).
absl::StatusOr<std::vector<bpf_insn>> DeviceProgram(
    const std::vector<CgroupLimits::DeviceRule>& rules);
// Loads and attaches it to a v2 group, in place of those attached to that group before.
absl::Status AttachDeviceProgram(const std::string& dir, const std::vector<bpf_insn>& program);

}  // namespace berth::os::cgroup_internal

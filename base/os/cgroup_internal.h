// Parts of cgroup.h's implementation: files of one group, limits in v1 and v2 form, v2 device
// filter. Private to base/os. Stateless; thread-safe.
#pragma once

#include <linux/bpf.h>
#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
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

// One write that a limit becomes.
struct Setting {
  enum class Line {
    kWhole,    // the file is one value
    kOf,       // a file of lines: the one that begins with `key`, read and written as it stands
    kValueOf,  // of that line only what follows is written
  };
  std::string dir;  // "" = this host has no such controller
  std::string file;
  std::string value;
  std::string where = {};  // the property below linux.resources
  Line line = Line::kWhole;
  std::string key = {};
  std::string none = {};  // what undoes it where there was no such line
};

class SettingList {
 public:
  void Add(Setting setting);
  // Nothing when "".
  void AddText(const std::string& dir, const char* file, const std::string& value,
               const char* where);
  template <typename Int>
  void AddNumber(const std::string& dir, const char* file, const std::optional<Int>& value,
                 const char* where) {
    if (value.has_value()) Add({dir, file, std::to_string(*value), where});
  }
  const Setting* Find(const std::string& file) const;
  std::vector<Setting> Take() && { return std::move(settings_); }

 private:
  std::vector<Setting> settings_;
};

// Directory of the group where a controller limits, "" when the host has none.
using DirOf = std::function<std::string(const std::string& controller)>;
absl::StatusOr<std::vector<Setting>> SettingsV1(const DirOf& dir_of, const CgroupLimits& limits);
absl::StatusOr<std::vector<Setting>> SettingsV2(const std::string& group, const DirOf& dir_of,
                                                const CgroupLimits& limits);
void AddRdma(const std::string& dir, const CgroupLimits& limits, SettingList* out);
// FailedPrecondition "linux.resources.<where>: <why>".
absl::Status Lost(absl::string_view where, absl::string_view why);
// What to write to have back what is there now.
absl::StatusOr<std::string> ValueNow(const Setting& setting);
// All that can be written; the error is of the first that can not.
absl::Status WriteInRounds(std::vector<Setting> left);

// v1 cpu.shares (2..262144) as v2 cpu.weight (1..10000).
uint64_t CpuWeight(uint64_t shares);

// InvalidArgument unless its type is a, b or c and its access is made of r, w and m.
absl::Status CheckDeviceRule(const CgroupLimits::DeviceRule& rule);
// True for every device and every access.
bool IsForAll(const CgroupLimits::DeviceRule& rule);
// FailedPrecondition for an order of rules that a v1 group, which keeps a list of exceptions,
// cannot have: a part taken out of an exception.
absl::Status LimitDevicesV1(const std::string& dir,
                            const std::vector<CgroupLimits::DeviceRule>& rules);
// What it writes to devices.allow and devices.deny, in order: "c 1:3 rwm", "a".
struct DeviceWrite {
  bool allow = false;
  std::string text;
};
absl::StatusOr<std::vector<DeviceWrite>> DeviceWritesV1(
    const std::vector<CgroupLimits::DeviceRule>& rules);
absl::Status LimitDevicesV2(const std::string& dir,
                            const std::vector<CgroupLimits::DeviceRule>& rules);
// The device rules as an eBPF program.
absl::StatusOr<std::vector<bpf_insn>> DeviceProgram(
    const std::vector<CgroupLimits::DeviceRule>& rules);
// Loads and attaches it to a v2 group, in place of those attached to that group before.
absl::Status AttachDeviceProgram(const std::string& dir, const std::vector<bpf_insn>& program);

}  // namespace berth::os::cgroup_internal

#include "base/os/cgroup_stats.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/os/cgroup_internal.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::os {
namespace {

// memory.stat is the longest: 1.5 KiB on v1, 2.5 KiB on v2.
constexpr size_t kFileBytes = 16 << 10;
// A v1 limit at or above this is none: the kernel shows LONG_MAX rounded down to pages.
constexpr uint64_t kUnlimited = uint64_t{1} << 62;

absl::Status Gone(const std::string& path) {
  return absl::FailedPreconditionError(absl::StrCat("read cgroup ", path, ": it is gone"));
}

// One file's text in a buffer of the caller's.
class Text {
 public:
  // False: nothing to read, or it does not exist any more (`*gone` tells).
  bool Load(const UniqueFd& fd, bool* gone) {
    if (!fd.valid()) return false;
    const ssize_t n = pread(fd.get(), bytes_, sizeof bytes_, 0);
    if (n < 0) {
      *gone = *gone || errno == ENODEV;
      return false;
    }
    text_ = absl::string_view(bytes_, static_cast<size_t>(n));
    return true;
  }
  absl::string_view text() const { return absl::StripAsciiWhitespace(text_); }

  // Calls `found(key, rest)` for each line "key rest".
  template <typename Found>
  void EachLine(Found found) const {
    absl::string_view rest = text_;
    while (!rest.empty()) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      const absl::string_view line = rest.substr(0, end);
      const size_t space = std::min(line.find(' '), line.size());
      found(line.substr(0, space), absl::StripAsciiWhitespace(line.substr(space)));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }

 private:
  char bytes_[kFileBytes];
  absl::string_view text_;
};

std::optional<uint64_t> Number(absl::string_view text) {
  uint64_t value = 0;
  if (!absl::SimpleAtoi(text, &value)) return std::nullopt;  // "max"
  return value;
}

std::optional<uint64_t> ReadNumber(const UniqueFd& fd, bool* gone) {
  Text text;
  return text.Load(fd, gone) ? Number(text.text()) : std::nullopt;
}

Pressure ParsePressure(absl::string_view fields) {
  Pressure pressure;
  while (!fields.empty()) {
    const size_t end = std::min(fields.find(' '), fields.size());
    absl::string_view field = fields.substr(0, end);
    fields.remove_prefix(std::min(end + 1, fields.size()));
    // What does not parse stays zero: a number for people.
    if (absl::ConsumePrefix(&field, "avg10=")) {
      (void)absl::SimpleAtod(field, &pressure.avg10);
    } else if (absl::ConsumePrefix(&field, "avg60=")) {
      (void)absl::SimpleAtod(field, &pressure.avg60);
    } else if (absl::ConsumePrefix(&field, "avg300=")) {
      (void)absl::SimpleAtod(field, &pressure.avg300);
    } else if (absl::ConsumePrefix(&field, "total=")) {
      (void)absl::SimpleAtoi(field, &pressure.total_us);
    }
  }
  return pressure;
}

std::optional<PressurePair> ReadPressure(const UniqueFd& fd, bool* gone) {
  Text text;
  if (!text.Load(fd, gone)) return std::nullopt;
  PressurePair pair;
  text.EachLine([&](absl::string_view key, absl::string_view rest) {
    if (key == "some") pair.some = ParsePressure(rest);
    if (key == "full") pair.full = ParsePressure(rest);
  });
  return pair;
}

// The first of `files` that is there.
UniqueFd OpenOne(const std::string& dir, std::initializer_list<const char*> files) {
  if (dir.empty()) return {};
  for (const char* file : files) {
    absl::StatusOr<UniqueFd> fd = Open(absl::StrCat(dir, "/", file), O_RDONLY);
    if (fd.ok()) return *std::move(fd);
  }
  return {};
}

}  // namespace

absl::StatusOr<CgroupMeter> CgroupMeter::Open(const CgroupHost& host, const std::string& path) {
  RETURN_IF_ERROR(cgroup_internal::CheckPath(path));
  CgroupMeter meter;
  meter.path_ = path;
  const bool v2 = host.layout() == CgroupLayout::kV2;
  meter.cpu_v2_ = meter.memory_v2_ = v2;
  const std::string cpu = host.ControllerDir(v2 ? "cpu" : "cpuacct", path);
  const std::string memory = host.ControllerDir("memory", path);
  if (v2) {
    // Counted without the controller too.
    meter.cpu_ = OpenOne(host.v2_root() + path, {"cpu.stat"});
    meter.memory_usage_ = OpenOne(memory, {"memory.current"});
    meter.memory_limit_ = OpenOne(memory, {"memory.max"});
    meter.swap_usage_ = OpenOne(memory, {"memory.swap.current"});
    meter.swap_limit_ = OpenOne(memory, {"memory.swap.max"});
  } else {
    meter.cpu_ = OpenOne(cpu, {"cpuacct.usage"});
    meter.memory_usage_ = OpenOne(memory, {"memory.usage_in_bytes"});
    meter.memory_limit_ = OpenOne(memory, {"memory.limit_in_bytes"});
    meter.swap_limit_ = OpenOne(memory, {"memory.memsw.limit_in_bytes"});
  }
  meter.memory_stat_ = OpenOne(memory, {"memory.stat"});
  meter.pids_ = OpenOne(host.ControllerDir("pids", path), {"pids.current"});
  if (!host.v2_root().empty()) {
    const std::string dir = host.v2_root() + path;
    meter.cpu_pressure_ = OpenOne(dir, {"cpu.pressure"});
    meter.memory_pressure_ = OpenOne(dir, {"memory.pressure"});
    meter.io_pressure_ = OpenOne(dir, {"io.pressure"});
  }
  if (!meter.cpu_.valid() && !meter.memory_stat_.valid() && !meter.pids_.valid()) {
    return Gone(path);
  }
  return meter;
}

absl::Status CgroupMeter::ReadMemory(CgroupStats* stats) const {
  bool gone = false;
  const std::optional<uint64_t> usage = ReadNumber(memory_usage_, &gone);
  Text text;
  const bool loaded = text.Load(memory_stat_, &gone);
  if (gone) return Gone(path_);
  if (!usage.has_value() || !loaded) return absl::OkStatus();
  CgroupStats::Memory memory;
  uint64_t idle = 0;
  const std::pair<absl::string_view, uint64_t*> keys[] = {
      {memory_v2_ ? "inactive_file" : "total_inactive_file", &idle},
      {memory_v2_ ? "anon" : "total_rss", &memory.rss},
      {memory_v2_ ? "pgfault" : "total_pgfault", &memory.faults},
      {memory_v2_ ? "pgmajfault" : "total_pgmajfault", &memory.major_faults},
  };
  text.EachLine([&](absl::string_view key, absl::string_view value) {
    for (const auto& [name, into] : keys) {
      if (key == name) *into = Number(value).value_or(0);
    }
    if (!memory_v2_ && key == "total_swap") memory.swap_usage = Number(value);
  });
  memory.usage = *usage;
  memory.working_set = *usage - std::min(*usage, idle);
  memory.limit = ReadNumber(memory_limit_, &gone);
  if (memory.limit.value_or(0) >= kUnlimited) memory.limit.reset();
  if (memory_v2_) {
    memory.swap_usage = ReadNumber(swap_usage_, &gone);
    memory.swap_limit = ReadNumber(swap_limit_, &gone);
  } else {
    const std::optional<uint64_t> both = ReadNumber(swap_limit_, &gone);
    if (!both.has_value()) memory.swap_usage.reset();  // swap is not accounted here
    if (both.has_value() && *both < kUnlimited && memory.limit.has_value()) {
      memory.swap_limit = *both - std::min(*both, *memory.limit);
    }
  }
  stats->memory = memory;
  return gone ? Gone(path_) : absl::OkStatus();
}

absl::StatusOr<CgroupStats> CgroupMeter::Read() const {
  CgroupStats stats;
  bool gone = false;
  {
    Text cpu;
    if (cpu.Load(cpu_, &gone)) {
      if (!cpu_v2_) stats.cpu_usage_ns = Number(cpu.text());
      cpu.EachLine([&](absl::string_view key, absl::string_view value) {
        if (!cpu_v2_ || key != "usage_usec") return;
        if (const std::optional<uint64_t> us = Number(value)) stats.cpu_usage_ns = *us * 1000;
      });
    }
  }
  RETURN_IF_ERROR(ReadMemory(&stats));
  stats.pids = ReadNumber(pids_, &gone);
  stats.cpu_pressure = ReadPressure(cpu_pressure_, &gone);
  stats.memory_pressure = ReadPressure(memory_pressure_, &gone);
  stats.io_pressure = ReadPressure(io_pressure_, &gone);
  if (gone) return Gone(path_);
  return stats;
}

}  // namespace berth::os

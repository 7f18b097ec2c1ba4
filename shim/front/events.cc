#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/os/cgroup_stats.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "shim/front/commands.h"
#include "shim/front/container.h"

namespace berth::shim::front {
namespace {

using Json = nlohmann::ordered_json;

Json PressureOf(const os::PressurePair& pair) {
  const auto one = [](const os::Pressure& p) {
    return Json{
        {"avg10", p.avg10}, {"avg60", p.avg60}, {"avg300", p.avg300}, {"total", p.total_us}};
  };
  return {{"some", one(pair.some)}, {"full", one(pair.full)}};
}

Json MemoryOf(const os::CgroupStats::Memory& memory) {
  Json out = {{"usage", {{"usage", memory.usage}}},
              {"raw",
               {{"rss", memory.rss},
                {"working_set", memory.working_set},
                {"pgfault", memory.faults},
                {"pgmajfault", memory.major_faults}}}};
  if (memory.limit.has_value()) out["usage"]["limit"] = *memory.limit;
  if (memory.swap_usage.has_value()) out["swap"]["usage"] = *memory.swap_usage;
  if (memory.swap_limit.has_value()) out["swap"]["limit"] = *memory.swap_limit;
  return out;
}

// runc's form; what this host does not count is absent.
Json StatsOf(const os::CgroupStats& stats) {
  Json data = Json::object();
  if (stats.cpu_usage_ns.has_value()) data["cpu"]["usage"]["total"] = *stats.cpu_usage_ns;
  if (stats.cpu_pressure.has_value()) data["cpu"]["psi"] = PressureOf(*stats.cpu_pressure);
  if (stats.memory.has_value()) data["memory"] = MemoryOf(*stats.memory);
  if (stats.memory_pressure.has_value()) data["memory"]["psi"] = PressureOf(*stats.memory_pressure);
  if (stats.pids.has_value()) data["pids"]["current"] = *stats.pids;
  if (stats.io_pressure.has_value()) data["blkio"]["psi"] = PressureOf(*stats.io_pressure);
  return data;
}

absl::Status Print(const char* type, const std::string& id, const Json* data) {
  Json event = {{"type", type}, {"id", id}};
  if (data != nullptr) event["data"] = *data;
  return os::WriteAll(STDOUT_FILENO,
                      event.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
}

absl::Status PrintStats(const Container& container) {
  ASSIGN_OR_RETURN(const os::CgroupMeter meter,
                   os::CgroupMeter::Open(container.cgroups(), container.record().cgroup));
  ASSIGN_OR_RETURN(const os::CgroupStats stats, meter.Read());
  const Json data = StatsOf(stats);
  return Print("stats", container.record().id, &data);
}

// Statistics and, between two of them, whether something was killed for its memory; until the
// container ends.
absl::Status Follow(const Container& container, absl::Duration interval) {
  ASSIGN_OR_RETURN(const os::UniqueFd process, container.OpenProcess());
  ASSIGN_OR_RETURN(uint64_t kills, container.cgroups().OomKills(container.record().cgroup));
  for (;;) {
    pollfd end{process.get(), POLLIN, 0};
    const int n = poll(&end, 1, Deadline::After(interval).PollMillis());
    if (n < 0 && errno != EINTR) return os::ErrnoStatus(errno, "poll");
    const absl::StatusOr<uint64_t> now = container.cgroups().OomKills(container.record().cgroup);
    if (now.ok() && *now > kills) {
      RETURN_IF_ERROR(Print("oom", container.record().id, nullptr));
      kills = *now;
    }
    if (n > 0) return absl::OkStatus();
    RETURN_IF_ERROR(PrintStats(container));
  }
}

}  // namespace

absl::StatusOr<int> Events(const Options& options, const Words& words) {
  ASSIGN_OR_RETURN(const Arguments arguments,
                   Arguments::Parse(words, {{"stats", 0, Flag::kSwitch}, {"interval"}}));
  RETURN_IF_ERROR(arguments.Expect(1, 1));
  absl::Duration interval;
  const std::string text = arguments.Text("interval", "5s");
  if (!absl::ParseDuration(text, &interval) || interval < absl::Milliseconds(1)) {
    return absl::InvalidArgumentError(absl::StrCat("--interval: no time: ", text));
  }
  ASSIGN_OR_RETURN(const Container container, Container::Open(options, arguments.words()[0]));
  ASSIGN_OR_RETURN(const Status status, container.GetStatus());
  if (status == Status::kStopped || status == Status::kCreating) {
    RETURN_IF_ERROR(container.ExpectStatus(Status::kRunning, Status::kCreated));
  }
  RETURN_IF_ERROR(arguments.IsOn("stats") ? PrintStats(container) : Follow(container, interval));
  return 0;
}

}  // namespace berth::shim::front

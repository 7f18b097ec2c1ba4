// From limits to the files of a group: what to write, in order, and what was there before.
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/os/cgroup.h"
#include "base/os/cgroup_internal.h"
#include "base/status_macros.h"

namespace berth::os {

namespace cgroup_internal {

absl::Status Lost(absl::string_view where, absl::string_view why) {
  return absl::FailedPreconditionError(absl::StrCat("linux.resources.", where, ": ", why));
}

void SettingList::Add(Setting setting) { settings_.push_back(std::move(setting)); }

void SettingList::AddText(const std::string& dir, const char* file, const std::string& value,
                          const char* where) {
  if (!value.empty()) Add({dir, file, value, where});
}

const Setting* SettingList::Find(const std::string& file) const {
  for (const Setting& setting : settings_) {
    if (setting.file == file) return &setting;
  }
  return nullptr;
}

void AddRdma(const std::string& dir, const CgroupLimits& limits, SettingList* out) {
  for (const auto& [device, rdma] : limits.rdma) {
    std::string line = device;
    if (rdma.hca_handles.has_value()) absl::StrAppend(&line, " hca_handle=", *rdma.hca_handles);
    if (rdma.hca_objects.has_value()) absl::StrAppend(&line, " hca_object=", *rdma.hca_objects);
    out->Add({dir, "rdma.max", line, absl::StrCat("rdma[\"", device, "\"]"), Setting::Line::kOf,
              device, absl::StrCat(device, " hca_handle=max hca_object=max")});
  }
}

absl::StatusOr<std::string> ValueNow(const Setting& setting) {
  ASSIGN_OR_RETURN(std::string text, Read(setting.dir, setting.file));
  if (setting.line == Setting::Line::kWhole) return text;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(line, absl::MaxSplits(' ', 1));
    if (parts.first != setting.key) continue;
    return std::string(setting.line == Setting::Line::kOf ? line : parts.second);
  }
  return setting.none;
}

// Some pairs bound each other (quota and period, memory and memory + swap), in an order that
// depends on what was there: what is refused now may fit once another is written.
absl::Status WriteInRounds(std::vector<Setting> left) {
  for (;;) {
    absl::Status first;
    std::vector<Setting> refused;
    for (Setting& setting : left) {
      // An empty cpuset is written as a line: a write of nothing never reaches the kernel's parser.
      absl::Status s =
          Write(setting.dir, setting.file, setting.value.empty() ? "\n" : setting.value);
      if (s.ok()) continue;
      if (!setting.where.empty()) s = Annotate(s, absl::StrCat("linux.resources.", setting.where));
      if (first.ok()) first = std::move(s);
      refused.push_back(std::move(setting));
    }
    if (refused.empty() || refused.size() == left.size()) return first;
    left = std::move(refused);
  }
}

}  // namespace cgroup_internal

namespace {

using namespace cgroup_internal;  // NOLINT(google-build-using-namespace): its other half

// Without their controller these ask for less than was asked for or for nothing that counts: a
// share of what nobody shares, a period without a quota.
bool MayBeLost(const Setting& setting) {
  for (const char* where : {"cpu.shares", "cpu.period", "cpu.idle", "cpu.burst"}) {
    if (setting.where == where) return true;
  }
  return setting.where == "cpu.quota" && (setting.value[0] == '-' || setting.value[0] == 'm');
}

std::string ControllerOf(const std::string& file) { return file.substr(0, file.find('.')); }

}  // namespace

absl::StatusOr<std::vector<Setting>> CgroupHost::Settings(const std::string& path,
                                                          const CgroupLimits& limits) const {
  if (!limits.memory_use_hierarchy.value_or(true)) {
    return Lost("memory.useHierarchy", "this kernel counts the groups below always");
  }
  const DirOf dir_of = [&](const std::string& controller) {
    return ControllerDir(controller, path);
  };
  absl::StatusOr<std::vector<Setting>> all = layout_ == CgroupLayout::kV2
                                                 ? SettingsV2(v2_root_ + path, dir_of, limits)
                                                 : SettingsV1(dir_of, limits);
  RETURN_IF_ERROR(all.status());
  std::vector<Setting> settings;
  for (Setting& setting : *all) {
    if (!setting.dir.empty()) {
      settings.push_back(std::move(setting));
    } else if (!MayBeLost(setting)) {
      return Lost(setting.where,
                  absl::StrCat("this host has no cgroup controller ", ControllerOf(setting.file)));
    }
  }
  return settings;
}

absl::Status CgroupHost::Apply(const std::string& path, const CgroupLimits& limits) const {
  RETURN_IF_ERROR(CheckPath(path));
  if (!limits.devices.empty() && !Has("devices")) {
    return Lost("devices", "this host has no cgroup controller devices");
  }
  ASSIGN_OR_RETURN(std::vector<Setting> settings, Settings(path, limits));
  RETURN_IF_ERROR(WriteInRounds(std::move(settings)));
  if (limits.devices.empty()) return absl::OkStatus();
  return layout_ == CgroupLayout::kV2
             ? LimitDevicesV2(v2_root_ + path, limits.devices)
             : LimitDevicesV1(ControllerDir("devices", path), limits.devices);
}

}  // namespace berth::os

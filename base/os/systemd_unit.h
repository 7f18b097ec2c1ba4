// A container's place under systemd, and what its scope declares: everything that systemd would
// write to the group's files on its own (at daemon-reload, for one) is said to it in its words, so
// that it writes the same. Pure; thread-safe.
// Sources: systemd.slice(5), systemd.resource-control(5), org.freedesktop.systemd1(5) (types).
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/os/cgroup.h"

namespace berth::os {

struct ScopeName {
  std::string slice;   // "a-b.slice"
  std::string unit;    // "prefix-name.scope"
  std::string cgroup;  // "/a.slice/a-b.slice/prefix-name.scope", below every hierarchy's root
};

// "slice:prefix:name", as runc and crun have it: no slice is system.slice, no prefix none.
// InvalidArgument for any other form, and for what is no name of a unit.
absl::StatusOr<ScopeName> ParseScopeName(absl::string_view cgroups_path);
// True for the form that ParseScopeName takes, false for a path.
bool IsScopeForm(absl::string_view cgroups_path);

// Where systemd puts a slice: "a-b.slice" -> "/a.slice/a-b.slice"; "-.slice" is the root, "".
absl::StatusOr<std::string> SliceCgroup(absl::string_view slice);
// True for a parent in systemd's form: "x.slice", or a path that ends so.
bool IsSliceForm(absl::string_view parent);
// The slice of such a parent. InvalidArgument unless a path is the one that systemd gives it.
absl::StatusOr<std::string> SliceOf(absl::string_view parent);

struct UnitProperty {
  using Pairs = std::vector<std::pair<std::string, std::string>>;  // a(ss)
  using Rates = std::vector<std::pair<std::string, uint64_t>>;     // a(st)
  std::string name;
  // s, b, t, ay, a(ss), a(st)
  std::variant<std::string, bool, uint64_t, std::vector<uint8_t>, Pairs, Rates> value;
};

// The limits as properties; for SetUnitProperties on an update, too. What systemd has no word for
// it never writes. `kV1` and `kHybrid` have the older names.
std::vector<UnitProperty> LimitProperties(const CgroupLimits& limits, CgroupLayout layout);
// All that a new scope has beside its processes.
std::vector<UnitProperty> ScopeProperties(const ScopeName& name, const CgroupLimits& limits,
                                          CgroupLayout layout);

// "0-3,7" as systemd's bit mask, lowest byte first; empty for what is no such list.
std::vector<uint8_t> CpuMask(absl::string_view list);

}  // namespace berth::os

// The mounts, devices and links of a container as elements of a SetupPlan.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "shim/child/plan.h"
#include "shim/create_plan.h"
#include "shim/launch_wire.h"
#include "shim/mount_options.h"
#include "shim/plan_builder.h"

namespace berth::shim {

// By its type or an option of it.
bool IsBind(const oci::Mount& mount);
bool IsRemount(const oci::Mount& mount);
// A file system type whose instance is made inside the container: it names nothing of the host.
bool IsMadeInside(absl::string_view fs_type);
// What fsconfig(2) is told for a new file system: source, data and flags.
std::vector<std::pair<std::string, std::string>> FileSystemOptions(const oci::Mount& mount,
                                                                   const MountOptions& options);

// In the spec's order; one of type "cgroup" becomes several on hosts with v1 hierarchies, and links
// that belong to them are added to *links. Sets the attributes of mount trees.
absl::StatusOr<std::vector<child::MountPlan>> PlanMounts(
    const LaunchDocument& document, const NamespacePlan& namespaces, child::PlanBuilder* builder,
    std::vector<std::pair<std::string, std::string>>* links);

// /dev is bound from the host: not ours to fill.
bool HasHostDev(const oci::Spec& spec);

// The devices that every container has and those of the spec; empty when /dev is the host's. In a
// user namespace they are the host's nodes, to be bound; `directory` is covered meanwhile.
absl::StatusOr<std::vector<child::DevicePlan>> PlanDevices(const oci::Spec& spec,
                                                           const NamespacePlan& namespaces,
                                                           const std::string& directory,
                                                           child::PlanBuilder* builder);
// /dev/fd and its like; none when /dev is the host's.
void AddDeviceLinks(const oci::Spec& spec, std::vector<std::pair<std::string, std::string>>* links);

}  // namespace berth::shim

// The on-disk tree of sandbox/, drawn once.
//
//   <data>/sandboxes/<id>/{hosts,hostname,resolv.conf}   the pod's files, bind-mounted into
//   containers <data>/containers/<id>/upper                         the overlay's writable layer
//   <data>/containers/<id>/work
//   <data>/containers/<id>/config.json                   the OCI spec that the shim was given
//   <data>/container-trash/<id>                          renamed here, deleted later
//   <run>/pins                                           nsfs: the table of pinned namespaces
//   <netns_dir>/berth-<id>                               nsfs: the pod's network namespace
//   <run>/containers/<id>/                               the shim's (shim/launcher.h)
//
// Ids are strong types, so no path here can climb. Pure functions.
#pragma once

#include <string>

#include "absl/strings/str_cat.h"
#include "base/ids.h"
#include "sandbox/runtime.h"

namespace berth::sandbox::paths {

inline std::string PodDirs(const RuntimeOptions& o) {
  return absl::StrCat(o.data_dir, "/sandboxes");
}
inline std::string PodDir(const RuntimeOptions& o, const SandboxId& id) {
  return absl::StrCat(PodDirs(o), "/", id.str());
}
inline std::string NetworkPin(const RuntimeOptions& o, const SandboxId& id) {
  return absl::StrCat(o.netns_dir, "/berth-", id.str());
}
inline std::string ContainerDirs(const RuntimeOptions& o) {
  return absl::StrCat(o.data_dir, "/containers");
}
inline std::string ContainerDir(const RuntimeOptions& o, const ContainerId& id) {
  return absl::StrCat(ContainerDirs(o), "/", id.str());
}
// As shim::OverlayRoot wants them: relative to the data directory.
inline std::string RelativeUpper(const ContainerId& id) {
  return absl::StrCat("containers/", id.str(), "/upper");
}
inline std::string RelativeWork(const ContainerId& id) {
  return absl::StrCat("containers/", id.str(), "/work");
}
inline std::string SpecFile(const RuntimeOptions& o, const ContainerId& id) {
  return absl::StrCat(ContainerDir(o, id), "/config.json");
}
inline std::string Trash(const RuntimeOptions& o) {
  return absl::StrCat(o.data_dir, "/container-trash");
}
inline std::string RunDirs(const RuntimeOptions& o) {
  return absl::StrCat(o.run_dir, "/containers");
}

}  // namespace berth::sandbox::paths

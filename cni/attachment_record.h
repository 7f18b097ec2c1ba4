// What is remembered of an attachment until it is undone: everything that DEL needs, so that a
// changed or deleted configuration does not matter (docs/formats/attachment.md).
// Value types and pure functions; thread-safe.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/store/store.h"
#include "cni/conf_list.h"

namespace berth::cni {

inline constexpr absl::string_view kAttachmentKind = "attachment";
inline constexpr uint32_t kAttachmentVersion = 1;

struct AttachmentFacts {
  std::string id;  // the pod sandbox's
  // False is the intent: any number of plugins may have run, the last one perhaps half.
  bool attached = false;
  std::shared_ptr<const ConfList> list;
  std::string version;  // of CNI, as negotiated
  std::string netns_path;
  std::string if_name;
  std::string args;                                    // CNI_ARGS
  std::map<std::string, std::string> capability_args;  // values as JSON
  std::string result;                                  // of the last ADD that succeeded, "" = none
};

store::Record ToRecord(const AttachmentFacts& facts);
// DataLoss when the record cannot be understood. `list.bytes` are parsed anew.
absl::StatusOr<AttachmentFacts> FromRecord(const store::Record& record);

}  // namespace berth::cni

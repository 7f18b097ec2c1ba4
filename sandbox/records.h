// Pod and container records: protobuf messages of proto/records.proto in the store, and the state
// inside them as the enums of state.h. Field by field: docs/formats/records.md.
// Pure functions; thread-safe.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/store/store.h"
#include "google/protobuf/message_lite.h"
#include "records.pb.h"
#include "sandbox/state.h"

namespace berth::sandbox {

using records::ContainerRecord;
using records::SandboxRecord;

inline constexpr char kSandboxKind[] = "sandbox";
inline constexpr char kContainerKind[] = "container";
inline constexpr uint32_t kRecordVersion = 1;

store::Record ToStored(absl::string_view id, const SandboxRecord& record);
store::Record ToStored(absl::string_view id, const ContainerRecord& record);

// DataLoss: not an id, a version or state that this program does not know, or bytes that do not
// parse. The caller quarantines it.
absl::StatusOr<SandboxRecord> SandboxFromStored(const store::Record& stored);
absl::StatusOr<ContainerRecord> ContainerFromStored(const store::Record& stored);

// Precondition: the record came from ...FromStored or from Set/Advance below.
PodState StateOf(const SandboxRecord& record);
ContainerState StateOf(const ContainerRecord& record);

// Applies the table of state.h to the record.
absl::Status Advance(SandboxRecord& record, PodEvent event);
absl::Status Advance(ContainerRecord& record, ContainerEvent event);

// The same bytes for equal messages, maps included.
std::string DeterministicBytes(const google::protobuf::MessageLite& message);

}  // namespace berth::sandbox

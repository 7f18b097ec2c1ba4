#include "sandbox/records.h"

#include "absl/strings/str_cat.h"
#include "base/ids.h"
#include "base/status_macros.h"
#include "cri.pb.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"

namespace berth::sandbox {
namespace {

store::Record MakeStored(absl::string_view kind, absl::string_view id,
                         const google::protobuf::MessageLite& message) {
  store::Record stored;
  stored.kind = std::string(kind);
  stored.id = std::string(id);
  stored.version = kRecordVersion;
  stored.body = message.SerializeAsString();
  return stored;
}

absl::Status ParseStored(const store::Record& stored, google::protobuf::MessageLite* message) {
  if (!IsHexId(stored.id)) {
    return absl::DataLossError(
        absl::StrCat("read ", stored.kind, " record: not an id: ", stored.id));
  }
  if (stored.version != kRecordVersion) {
    return absl::DataLossError(absl::StrCat("read ", stored.kind, " record ", stored.id,
                                            ": version ", stored.version, " is not known here"));
  }
  if (!message->ParseFromString(stored.body)) {
    return absl::DataLossError(
        absl::StrCat("read ", stored.kind, " record ", stored.id, ": does not parse"));
  }
  return absl::OkStatus();
}

absl::Status UnknownState(const store::Record& stored, int state) {
  return absl::DataLossError(
      absl::StrCat("read ", stored.kind, " record ", stored.id, ": unknown state ", state));
}

SandboxRecord::State ToStoredState(PodState state) {
  switch (state) {
    case PodState::kCreating:
      return SandboxRecord::CREATING;
    case PodState::kReady:
      return SandboxRecord::READY;
    case PodState::kNotReady:
      return SandboxRecord::NOT_READY;
    case PodState::kRemoving:
      return SandboxRecord::REMOVING;
  }
  return SandboxRecord::STATE_UNSPECIFIED;
}

ContainerRecord::State ToStoredState(ContainerState state) {
  switch (state) {
    case ContainerState::kCreating:
      return ContainerRecord::CREATING;
    case ContainerState::kCreated:
      return ContainerRecord::CREATED;
    case ContainerState::kRunning:
      return ContainerRecord::RUNNING;
    case ContainerState::kExited:
      return ContainerRecord::EXITED;
    case ContainerState::kRemoving:
      return ContainerRecord::REMOVING;
  }
  return ContainerRecord::STATE_UNSPECIFIED;
}

}  // namespace

store::Record ToStored(absl::string_view id, const SandboxRecord& record) {
  return MakeStored(kSandboxKind, id, record);
}

store::Record ToStored(absl::string_view id, const ContainerRecord& record) {
  return MakeStored(kContainerKind, id, record);
}

absl::StatusOr<SandboxRecord> SandboxFromStored(const store::Record& stored) {
  SandboxRecord record;
  RETURN_IF_ERROR(ParseStored(stored, &record));
  if (record.state() < SandboxRecord::CREATING || record.state() > SandboxRecord::REMOVING) {
    return UnknownState(stored, record.state());
  }
  runtime::v1::PodSandboxConfig config;
  if (!config.ParseFromString(record.config())) {
    return absl::DataLossError(absl::StrCat("read sandbox record ", stored.id, ": bad config"));
  }
  return record;
}

absl::StatusOr<ContainerRecord> ContainerFromStored(const store::Record& stored) {
  ContainerRecord record;
  RETURN_IF_ERROR(ParseStored(stored, &record));
  if (record.state() < ContainerRecord::CREATING || record.state() > ContainerRecord::REMOVING) {
    return UnknownState(stored, record.state());
  }
  runtime::v1::ContainerConfig config;
  if (!config.ParseFromString(record.config()) || !IsHexId(record.sandbox_id())) {
    return absl::DataLossError(absl::StrCat("read container record ", stored.id, ": bad config"));
  }
  runtime::v1::LinuxContainerResources resources;
  if (!resources.ParseFromString(record.resources()) ||
      !resources.ParseFromString(record.update().resources())) {
    return absl::DataLossError(
        absl::StrCat("read container record ", stored.id, ": bad resources"));
  }
  return record;
}

PodState StateOf(const SandboxRecord& record) {
  switch (record.state()) {
    case SandboxRecord::READY:
      return PodState::kReady;
    case SandboxRecord::NOT_READY:
      return PodState::kNotReady;
    case SandboxRecord::REMOVING:
      return PodState::kRemoving;
    case SandboxRecord::CREATING:
    case SandboxRecord::STATE_UNSPECIFIED:
    case records::SandboxRecord_State_SandboxRecord_State_INT_MIN_SENTINEL_DO_NOT_USE_:
    case records::SandboxRecord_State_SandboxRecord_State_INT_MAX_SENTINEL_DO_NOT_USE_:
      break;
  }
  return PodState::kCreating;
}

ContainerState StateOf(const ContainerRecord& record) {
  switch (record.state()) {
    case ContainerRecord::CREATED:
      return ContainerState::kCreated;
    case ContainerRecord::RUNNING:
      return ContainerState::kRunning;
    case ContainerRecord::EXITED:
      return ContainerState::kExited;
    case ContainerRecord::REMOVING:
      return ContainerState::kRemoving;
    case ContainerRecord::CREATING:
    case ContainerRecord::STATE_UNSPECIFIED:
    case records::ContainerRecord_State_ContainerRecord_State_INT_MIN_SENTINEL_DO_NOT_USE_:
    case records::ContainerRecord_State_ContainerRecord_State_INT_MAX_SENTINEL_DO_NOT_USE_:
      break;
  }
  return ContainerState::kCreating;
}

absl::Status Advance(SandboxRecord& record, PodEvent event) {
  ASSIGN_OR_RETURN(const PodState next, Next(StateOf(record), event));
  record.set_state(ToStoredState(next));
  return absl::OkStatus();
}

absl::Status Advance(ContainerRecord& record, ContainerEvent event) {
  ASSIGN_OR_RETURN(const ContainerState next, Next(StateOf(record), event));
  record.set_state(ToStoredState(next));
  return absl::OkStatus();
}

std::string DeterministicBytes(const google::protobuf::MessageLite& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    (void)message.SerializeToCodedStream(&coded);  // a string takes all that is written
  }
  return bytes;
}

}  // namespace berth::sandbox

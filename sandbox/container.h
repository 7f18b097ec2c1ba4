// Container: a container that this process knows, from the intent to create it until its record is
// gone. Its view is what ContainerStatus and ListContainers answer from. Thread-safe.
#pragma once

#include <memory>
#include <string>

#include "base/ids.h"
#include "cri.pb.h"
#include "sandbox/operation_slot.h"
#include "sandbox/record_cell.h"
#include "sandbox/records.h"
#include "sandbox/stop_request.h"
#include "sandbox/usage_cell.h"

namespace berth::sandbox {

namespace cri = ::runtime::v1;

struct ContainerView {
  static ContainerView Make(const std::string& id, ContainerRecord record);

  ContainerRecord record;
  ContainerState state = ContainerState::kCreating;
  cri::ContainerStatus status;
  bool listed() const { return state != ContainerState::kCreating; }
  // Nothing of it runs any more.
  bool ended() const {
    return state == ContainerState::kExited || state == ContainerState::kRemoving;
  }
};
using ContainerViewPtr = std::shared_ptr<const ContainerView>;

// (sandbox, name, attempt), the identity on which CreateContainer is idempotent.
std::string ContainerName(const std::string& sandbox_id, const cri::ContainerMetadata& metadata);

struct Container {
  Container(const ContainerId& container_id, ContainerRecord record)
      : id(container_id), cell(container_id.str(), std::move(record)) {}

  const ContainerId id;
  RecordCell<ContainerView, ContainerRecord> cell;
  StopRequest stop;            // what the Stop calls in flight agree on
  OperationSlot release_slot;  // one at a time takes the shim's remains away
  UsageCell usage;             // what its stats are read with
  LayerCell layer;             // what its writable layer was last seen to hold

  ContainerViewPtr view() const { return cell.view(); }
};
using ContainerPtr = std::shared_ptr<Container>;

cri::ContainerConfig ConfigOf(const ContainerRecord& record);
// The limits in force: as last updated, else as created.
cri::LinuxContainerResources ResourcesOf(const ContainerRecord& record);
// The CRI word for a state that is shown at all.
cri::ContainerState ToCri(ContainerState state);

}  // namespace berth::sandbox

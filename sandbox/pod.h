// Pod: a pod sandbox that this process knows. Its view is what PodSandboxStatus and ListPodSandbox
// answer from. Thread-safe.
#pragma once

#include <memory>
#include <string>

#include "base/ids.h"
#include "cri.pb.h"
#include "sandbox/operation_slot.h"
#include "sandbox/record_cell.h"
#include "sandbox/records.h"
#include "sandbox/usage_cell.h"

namespace berth::sandbox {

namespace cri = ::runtime::v1;

struct PodView {
  static PodView Make(const std::string& id, SandboxRecord record);

  SandboxRecord record;
  PodState state = PodState::kCreating;
  cri::PodSandboxStatus status;
  // kCreating is nobody's business but the creator's.
  bool listed() const { return state != PodState::kCreating; }
};
using PodViewPtr = std::shared_ptr<const PodView>;

// (namespace, name, uid, attempt), the identity on which RunPodSandbox is idempotent.
std::string PodName(const cri::PodSandboxMetadata& metadata);

struct Pod {
  Pod(const SandboxId& pod_id, SandboxRecord record)
      : id(pod_id), cell(pod_id.str(), std::move(record)) {}

  const SandboxId id;
  RecordCell<PodView, SandboxRecord> cell;
  OperationSlot slot;
  UsageCell usage;  // what its stats are read with

  PodViewPtr view() const { return cell.view(); }
};
using PodPtr = std::shared_ptr<Pod>;

// Precondition: the record's config parsed when it was read or made.
cri::PodSandboxConfig ConfigOf(const SandboxRecord& record);

}  // namespace berth::sandbox

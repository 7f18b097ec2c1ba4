// A network's plugins run one after the other for one pod: forward with ADD, each with the result
// of the one before it; in reverse with DEL (CNI specification 1.1 section 3).
// Thread-safe for different attachments. Blocks while plugins run, holds no lock.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "cni/attachment_record.h"
#include "cni/plugin.h"

namespace berth::cni {

class Chain {
 public:
  // `plugin_timeout`: of each call; not the plugins' caller's deadline. `plugins` is not owned.
  Chain(Plugins* plugins, absl::Duration plugin_timeout)
      : plugins_(plugins), plugin_timeout_(plugin_timeout) {}

  // The version to run the list with. Errors: Negotiate()'s and those of a plugin that is missing
  // or hangs.
  absl::StatusOr<std::string> NegotiateVersion(const ConfList& list, Deadline deadline) const;

  // ADD of each plugin. `facts->result` is the last result; `keep` is called after each plugin, to
  // record it, and may stop the chain. The value: the pod's addresses. Stops at the first error.
  absl::StatusOr<std::vector<std::string>> Add(AttachmentFacts* facts,
                                               const std::function<absl::Status()>& keep,
                                               Deadline deadline) const;

  // DEL of each plugin, last first. Stops at the first error: what an earlier plugin gave out (an
  // address) must not be free while a later one still points at it.
  absl::Status Delete(const AttachmentFacts& facts, const std::string& netns_path,
                      Deadline deadline) const;

 private:
  Deadline CallDeadline(Deadline deadline) const {
    return Deadline::After(plugin_timeout_).Min(deadline);
  }

  Plugins* const plugins_;
  const absl::Duration plugin_timeout_;
};

}  // namespace berth::cni

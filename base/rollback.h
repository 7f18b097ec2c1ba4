// Rollback: the undo steps of a verb that makes things which outlive the process. Newest first
// unless committed. Not thread-safe: one verb, one Rollback, on its stack.
//
//   Rollback undo("run pod sandbox", absl::Seconds(30));
//   undo.Add("unpin namespaces", [&] { return Unpin(path); });   // BEFORE the step it clears
//   RETURN_IF_ERROR(Pin(path));
//   ...
//   std::move(undo).Commit();
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/clock.h"

namespace berth {

class [[nodiscard]] Rollback {
 public:
  // `verb` names the whole in the log. `limit` begins when undoing begins: a caller that ran out of
  // time still gets its rollback.
  Rollback(std::string verb, absl::Duration limit);
  Rollback(const Rollback&) = delete;
  Rollback& operator=(const Rollback&) = delete;
  // Runs what is left and logs the failures in one line. May block up to `limit`.
  ~Rollback();

  // A step must be idempotent and succeed when there is nothing to undo. One that waits takes the
  // rollback's deadline.
  void Add(std::string step, std::function<absl::Status()> undo);
  void Add(std::string step, std::function<absl::Status(Deadline)> undo);

  // Keeps everything that was made.
  void Commit() && { steps_.clear(); }

  // Undoes now instead of in the destructor, for a caller that records what failed: an error names
  // each failed step. All steps run, whatever fails; a passed deadline only stops their waiting.
  absl::Status Run();

 private:
  struct Step {
    std::string name;
    std::function<absl::Status(Deadline)> undo;
  };
  const std::string verb_;
  const absl::Duration limit_;
  std::vector<Step> steps_;
};

}  // namespace berth

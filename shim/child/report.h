// How a child of ours says what went wrong: one ChildFailure up the report pipe, then the end.
// Part of shim/child: async-signal-safe, no allocation.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "shim/child/exec.h"
#include "shim/child/plan.h"

namespace berth::shim::child {

// Text put together in a fixed buffer; what does not fit is cut.
class Words {
 public:
  Words& Add(const char* text);
  Words& AddNumber(uint64_t value);
  const char* c_str() const { return text_; }
  size_t size() const { return size_; }

 private:
  char text_[sizeof(ChildFailure::detail)] = {};
  size_t size_ = 0;
};

// Writes the record; the process goes on. Used for kStepReady and kStepListener.
void Report(int report_fd, ChildStep step, int error, const char* detail);

// Writes the record and ends the process.
[[noreturn]] void Fail(int report_fd, ChildStep step, int error, const char* detail);

// Waits for one byte; ends the process when there is nobody left who could send it.
void WaitAtGate(int gate_fd);

// All signals unblocked and back to their defaults, ignored ones too.
void ResetSignals();

}  // namespace berth::shim::child

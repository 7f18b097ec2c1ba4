#include "base/rollback.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace berth {

Rollback::Rollback(std::string verb, absl::Duration limit)
    : verb_(std::move(verb)), limit_(limit) {}

Rollback::~Rollback() {
  if (absl::Status status = Run(); !status.ok()) {
    LogWarning("rollback incomplete", {{"verb", verb_}, {"cause", status.message()}});
  }
}

void Rollback::Add(std::string step, std::function<absl::Status()> undo) {
  Add(std::move(step),
      std::function<absl::Status(Deadline)>([undo = std::move(undo)](Deadline) { return undo(); }));
}

void Rollback::Add(std::string step, std::function<absl::Status(Deadline)> undo) {
  steps_.push_back({std::move(step), std::move(undo)});
}

absl::Status Rollback::Run() {
  const Deadline deadline = Deadline::After(limit_);
  absl::Status first;
  std::string failures;
  while (!steps_.empty()) {
    const Step step = std::move(steps_.back());
    steps_.pop_back();
    const absl::Status status = step.undo(deadline);
    if (status.ok()) continue;
    if (first.ok()) first = status;
    absl::StrAppend(&failures, failures.empty() ? "" : "; ", step.name, ": ", status.message());
  }
  return first.ok() ? first : absl::Status(first.code(), failures);
}

}  // namespace berth

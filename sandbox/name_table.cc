#include "sandbox/name_table.h"

#include <algorithm>

namespace berth::sandbox {

absl::StatusOr<std::string> Flight::Wait(Deadline deadline) {
  MutexLock lock(&mu_);
  while (!done_) {
    if (deadline.Expired()) {
      return absl::DeadlineExceededError(
          "wait for the same request in flight: not finished in time");
    }
    (void)finished_.WaitFor(
        &mu_, std::min(deadline.Remaining(), absl::Hours(1)));  // the loop looks at both causes
  }
  return result_;
}

void Flight::Finish(absl::StatusOr<std::string> result) {
  MutexLock lock(&mu_);
  done_ = true;
  result_ = std::move(result);
  finished_.NotifyAll();
}

NameTable::Ticket NameTable::Claim(const std::string& name, const std::string& content) {
  MutexLock lock(&mu_);
  auto [it, inserted] = names_.try_emplace(name);
  if (inserted) it->second = std::make_shared<Flight>(content);
  return Ticket{it->second, inserted};
}

void NameTable::Finish(const std::string& name, const std::shared_ptr<Flight>& flight,
                       absl::StatusOr<std::string> result) {
  if (!result.ok()) {
    MutexLock lock(&mu_);
    auto it = names_.find(name);
    if (it != names_.end() && it->second == flight) names_.erase(it);
  }
  flight->Finish(std::move(result));
}

void NameTable::Restore(const std::string& name, const std::string& content,
                        const std::string& id) {
  auto flight = std::make_shared<Flight>(content);
  flight->Finish(id);
  MutexLock lock(&mu_);
  names_[name] = std::move(flight);
}

void NameTable::Release(const std::string& name, const std::string& id) {
  MutexLock lock(&mu_);
  auto it = names_.find(name);
  if (it == names_.end()) return;
  // A flight still under way belongs to somebody else: then this does not wait.
  const absl::StatusOr<std::string> holder =
      it->second->Wait(Deadline::After(absl::ZeroDuration()));
  if (holder.ok() && *holder == id) names_.erase(it);
}

}  // namespace berth::sandbox

#include "absl/strings/str_cat.h"
#include "sandbox/testing/fakes.h"

namespace berth::sandbox::testing {

absl::Status FakeNetwork::Ready() const {
  MutexLock lock(&mu_);
  return ready_;
}

absl::StatusOr<cni::Attachment> FakeNetwork::Attach(const cni::AttachRequest& request, Deadline) {
  MutexLock lock(&mu_);
  last_request_ = request;
  attached_.insert(request.id);
  if (!attaches_.ok()) return attaches_;
  return cni::Attachment{{absl::StrCat("10.0.0.", ++count_), absl::StrCat("fd00::", count_)}};
}

absl::Status FakeNetwork::Detach(const std::string& id, const std::string& netns_path, Deadline) {
  MutexLock lock(&mu_);
  if (attached_.count(id) == 0) return absl::OkStatus();
  if (!detaches_.ok()) return detaches_;
  detached_from_.push_back(netns_path);
  attached_.erase(id);
  return absl::OkStatus();
}

std::vector<std::string> FakeNetwork::Attached() const {
  MutexLock lock(&mu_);
  return {attached_.begin(), attached_.end()};
}

void FakeNetwork::SetReady(absl::Status ready) {
  MutexLock lock(&mu_);
  ready_ = std::move(ready);
}
void FakeNetwork::FailAttach(absl::Status error) {
  MutexLock lock(&mu_);
  attaches_ = std::move(error);
}
void FakeNetwork::FailDetach(absl::Status error) {
  MutexLock lock(&mu_);
  detaches_ = std::move(error);
}
void FakeNetwork::AddAttached(const std::string& id) {
  MutexLock lock(&mu_);
  attached_.insert(id);
}
cni::AttachRequest FakeNetwork::last_request() {
  MutexLock lock(&mu_);
  return last_request_;
}
std::vector<std::string> FakeNetwork::detached_from() {
  MutexLock lock(&mu_);
  return detached_from_;
}

}  // namespace berth::sandbox::testing

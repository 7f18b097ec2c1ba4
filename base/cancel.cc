#include "base/cancel.h"

#include <sys/eventfd.h>
#include <unistd.h>

namespace berth {

Cancel::~Cancel() {
  MutexLock lock(&mu_);
  if (fd_ >= 0) (void)close(fd_);  // an eventfd has nothing to lose
}

void Cancel::Set() {
  MutexLock lock(&mu_);
  if (set_.exchange(true, std::memory_order_acq_rel) || fd_ < 0) return;
  (void)eventfd_write(fd_, 1);  // fails only at the counter's limit, which is far
}

int Cancel::fd() const {
  MutexLock lock(&mu_);
  if (fd_ < 0) fd_ = eventfd(cancelled() ? 1 : 0, EFD_CLOEXEC | EFD_NONBLOCK);
  return fd_;
}

}  // namespace berth

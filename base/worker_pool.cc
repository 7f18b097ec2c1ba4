#include "base/worker_pool.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"

namespace berth {

WorkerPool::WorkerPool(Options options) : options_(std::move(options)) {}

WorkerPool::~WorkerPool() {
  {
    MutexLock lock(&mu_);
    stopping_ = true;
    work_or_stop_.NotifyAll();
    while (threads_ > 0) (void)thread_ended_.WaitFor(&mu_, absl::InfiniteDuration());
  }
  JoinFinished();
}

absl::Status WorkerPool::Submit(std::function<void()> task) {
  JoinFinished();
  MutexLock lock(&mu_);
  if (stopping_) {
    return absl::FailedPreconditionError(absl::StrCat(options_.name, " pool is stopping"));
  }
  // Each queued task has claimed one idle thread already, if there are that many.
  if (queue_.size() < idle_) {
    queue_.push_back(std::move(task));
    work_or_stop_.NotifyOne();
    return absl::OkStatus();
  }
  const size_t waiting = queue_.size() - idle_;
  const bool can_start = threads_ < std::max<size_t>(options_.max_threads, 1);
  if (!can_start && waiting >= options_.max_queue) {
    return absl::ResourceExhaustedError(absl::StrCat(options_.name, " pool is full: ", threads_,
                                                     " threads busy, ", waiting, " tasks queued"));
  }
  if (can_start && !StartThread() && (threads_ == 0 || waiting >= options_.max_queue)) {
    return absl::ResourceExhaustedError(absl::StrCat(options_.name, " pool: no thread to be had"));
  }
  queue_.push_back(std::move(task));
  work_or_stop_.NotifyOne();
  return absl::OkStatus();
}

WorkerPool::Counts WorkerPool::counts() const {
  MutexLock lock(&mu_);
  return {threads_, idle_, queue_.size()};
}

bool WorkerPool::StartThread() {
  pthread_attr_t attr;
  if (pthread_attr_init(&attr) != 0) return false;
  pthread_t thread;
  const bool started = pthread_attr_setstacksize(&attr, options_.stack_bytes) == 0 &&
                       pthread_create(&thread, &attr, &ThreadMain, this) == 0;
  pthread_attr_destroy(&attr);
  if (started) {
    ++threads_;
    ++idle_;  // from now on: a task that is queued for it waits for nobody
  }
  return started;
}

void* WorkerPool::ThreadMain(void* self) {
  static_cast<WorkerPool*>(self)->Work();
  return nullptr;
}

void WorkerPool::Work() {
  (void)pthread_setname_np(pthread_self(), options_.name.substr(0, 15).c_str());  // cosmetic
  MutexLock lock(&mu_);
  for (;;) {
    // idle_ counts this thread: StartThread() did so for its first round.
    const Deadline until = Deadline::After(options_.idle_timeout);
    while (queue_.empty() && !stopping_ && !until.Expired()) {
      (void)work_or_stop_.WaitFor(&mu_, until.Remaining());  // the loop looks for itself
    }
    --idle_;
    if (queue_.empty()) break;
    std::function<void()> task = std::move(queue_.front());
    queue_.pop_front();
    mu_.Unlock();
    task();
    task = nullptr;  // what it captured must not die under the lock
    mu_.Lock();
    ++idle_;
  }
  finished_.push_back(pthread_self());
  --threads_;
  // The destructor joins this thread before it destroys the mutex and the condition.
  thread_ended_.NotifyAll();
}

void WorkerPool::JoinFinished() {
  std::vector<pthread_t> finished;
  {
    MutexLock lock(&mu_);
    finished.swap(finished_);
  }
  // They have nothing left to do but to release mu_: this does not wait for work.
  for (pthread_t thread : finished) (void)pthread_join(thread, nullptr);
}

}  // namespace berth

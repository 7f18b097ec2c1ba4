// WorkerPool: a bounded, elastic pool of threads for short work and for calls that may wait.
// Threads begin when a task finds none idle and end after an idle timeout, so an idle daemon pays
// for none. Thread-safe. A task may submit to the pool that runs it.
#pragma once

#include <pthread.h>

#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/mutex.h"

namespace berth {

class WorkerPool {
 public:
  struct Options {
    std::string name = "worker";  // thread name; the kernel keeps 15 bytes
    size_t max_threads = 32;      // at least 1
    size_t max_queue = 256;       // tasks that wait for a thread
    absl::Duration idle_timeout = absl::Seconds(10);
    size_t stack_bytes = 256 << 10;
  };
  explicit WorkerPool(Options options);
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;
  // Runs what was accepted, then joins. Must not be called on a thread of the pool.
  ~WorkerPool();

  // ResourceExhausted when all threads are busy and the queue is full (or no thread can be made);
  // the task is then not run. FailedPrecondition once destruction has begun.
  absl::Status Submit(std::function<void()> task);

  struct Counts {
    size_t threads = 0;
    size_t idle = 0;
    size_t queued = 0;
  };
  Counts counts() const;

 private:
  static void* ThreadMain(void* self);
  void Work();
  bool StartThread() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void JoinFinished();

  const Options options_;
  mutable Mutex mu_;
  CondVar work_or_stop_;
  CondVar thread_ended_;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mu_);
  std::vector<pthread_t> finished_ ABSL_GUARDED_BY(mu_);  // ended or about to, not joined yet
  size_t threads_ ABSL_GUARDED_BY(mu_) = 0;
  size_t idle_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace berth

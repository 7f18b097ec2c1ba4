#include "base/worker_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <thread>

namespace berth {
namespace {

// A task that stays in its thread until opened.
class Gate {
 public:
  std::function<void()> Task() {
    return [this] {
      entered_.fetch_add(1);
      opened_.wait();
    };
  }
  void Open() { open_.set_value(); }
  int entered() const { return entered_.load(); }

 private:
  std::promise<void> open_;
  std::shared_future<void> opened_ = open_.get_future().share();
  std::atomic<int> entered_{0};
};

WorkerPool::Options Small(size_t threads, size_t queue) {
  WorkerPool::Options options;
  options.max_threads = threads;
  options.max_queue = queue;
  return options;
}

TEST(WorkerPoolTest, RunsEveryAcceptedTaskBeforeDestructionEnds) {
  std::atomic<int> ran{0};
  {
    WorkerPool pool(Small(3, 1000));
    for (int i = 0; i < 500; ++i) ASSERT_TRUE(pool.Submit([&] { ran.fetch_add(1); }).ok());
  }
  EXPECT_EQ(ran.load(), 500);
}

TEST(WorkerPoolTest, RefusesWhenThreadsAreBusyAndTheQueueIsFull) {
  Gate gate;
  WorkerPool pool(Small(2, 3));
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(pool.Submit(gate.Task()).ok()) << i;
  const absl::Status refused = pool.Submit([] {});
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted);
  gate.Open();
}

TEST(WorkerPoolTest, WaitingTasksDoNotKeepANewOneFromAFreeThread) {
  Gate gate;
  WorkerPool pool(Small(4, 8));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(pool.Submit(gate.Task()).ok());
  std::promise<void> done;
  ASSERT_TRUE(pool.Submit([&] { done.set_value(); }).ok());
  EXPECT_EQ(done.get_future().wait_for(std::chrono::seconds(30)), std::future_status::ready);
  gate.Open();
}

TEST(WorkerPoolTest, NoMoreThreadsThanTheLimitEverRun) {
  std::atomic<int> now{0}, most{0};
  {
    WorkerPool pool(Small(4, 1000));
    for (int i = 0; i < 300; ++i) {
      ASSERT_TRUE(pool.Submit([&] {
                        const int n = now.fetch_add(1) + 1;
                        int seen = most.load();
                        while (seen < n && !most.compare_exchange_weak(seen, n)) {
                        }
                        std::this_thread::yield();
                        now.fetch_sub(1);
                      })
                      .ok());
    }
  }
  EXPECT_LE(most.load(), 4);
  EXPECT_GE(most.load(), 1);
}

TEST(WorkerPoolTest, IdleThreadsEnd) {
  WorkerPool::Options options = Small(4, 8);
  options.idle_timeout = absl::Milliseconds(1);
  WorkerPool pool(options);
  for (int round = 0; round < 20; ++round) {
    ASSERT_TRUE(pool.Submit([] {}).ok());
    // Ends only when the thread's own idle timeout did its work.
    while (pool.counts().threads > 0) std::this_thread::yield();
  }
}

TEST(WorkerPoolTest, ATaskMaySubmitToItsOwnPool) {
  WorkerPool pool(Small(1, 4));
  std::promise<void> done;
  ASSERT_TRUE(pool.Submit([&] { EXPECT_TRUE(pool.Submit([&] { done.set_value(); }).ok()); }).ok());
  EXPECT_EQ(done.get_future().wait_for(std::chrono::seconds(30)), std::future_status::ready);
}

TEST(WorkerPoolTest, WhatATaskCapturedDiesWithItsRun) {
  WorkerPool pool(Small(1, 4));
  auto held = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = held;
  std::promise<void> next;
  ASSERT_TRUE(pool.Submit([held = std::move(held)] {}).ok());
  ASSERT_TRUE(pool.Submit([&] { next.set_value(); }).ok());
  ASSERT_EQ(next.get_future().wait_for(std::chrono::seconds(30)), std::future_status::ready);
  EXPECT_TRUE(watch.expired());
}

}  // namespace
}  // namespace berth

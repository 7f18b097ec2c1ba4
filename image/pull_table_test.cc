#include "image/pull_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/clock.h"

namespace berth::image {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

PullKey Key(const std::string& reference, const std::string& password = "") {
  PullKey key{reference, {}};
  key.auth.password = password;
  return key;
}

ImagePtr MakeImage(char c) {
  return std::make_shared<const Image>(Image{*Digest::FromSha256Hex(std::string(64, c))});
}

// Work that the test lets go, and that ends by itself once it is abandoned.
class Gate {
 public:
  PullTable::Result Run(PullTable::Pull* pull, const ImagePtr& image) {
    MutexLock lock(&mu_);
    ++runs_;
    changed_.NotifyAll();
    while (!open_ && !pull->abandoned().cancelled()) {
      changed_.WaitFor(&mu_, absl::Milliseconds(5));
    }
    if (!open_) return absl::CancelledError("abandoned");
    return image;
  }
  void Open() {
    MutexLock lock(&mu_);
    open_ = true;
    changed_.NotifyAll();
  }
  int runs() {
    MutexLock lock(&mu_);
    return runs_;
  }

 private:
  Mutex mu_;
  CondVar changed_;
  bool open_ ABSL_GUARDED_BY(mu_) = false;
  int runs_ ABSL_GUARDED_BY(mu_) = 0;
};

class PullTableTest : public ::testing::Test {
 protected:
  // Joins on a thread of its own.
  std::thread Join(const PullKey& key, PullTable::Result* result, const Cancel* cancel = nullptr) {
    return std::thread([=, this] {
      const Cancel never;
      *result = table_.Join(key, cancel == nullptr ? never : *cancel,
                            [this](PullTable::Pull* p) { return gate_.Run(p, image_); });
    });
  }
  void WaitForCallers(int count) {
    const Deadline deadline = Deadline::After(absl::Seconds(20));
    for (;;) {
      int callers = 0;
      for (const PullStatus& pull : table_.List()) callers += pull.callers;
      if (callers == count && gate_.runs() > 0) return;
      ASSERT_FALSE(deadline.Expired());
      std::this_thread::yield();
    }
  }

  Gate gate_;
  const ImagePtr image_ = MakeImage('a');
  PullTable table_{2, [] {}};
};

TEST_F(PullTableTest, CallersOfTheSameShareOnePull) {
  PullTable::Result results[3];
  std::vector<std::thread> threads;
  for (PullTable::Result& result : results) threads.push_back(Join(Key("x"), &result));
  WaitForCallers(3);
  EXPECT_THAT(table_.List(), SizeIs(1));
  gate_.Open();
  for (std::thread& thread : threads) thread.join();
  for (const PullTable::Result& result : results) EXPECT_EQ(*result, image_);
  EXPECT_EQ(gate_.runs(), 1);
  EXPECT_THAT(table_.List(), IsEmpty());
}

TEST_F(PullTableTest, OtherCredentialsAreAnotherPull) {
  PullTable::Result one;
  PullTable::Result two;
  std::thread first = Join(Key("x", "secret"), &one);
  std::thread second = Join(Key("x", "other"), &two);
  WaitForCallers(2);
  EXPECT_THAT(table_.List(), SizeIs(2));
  gate_.Open();
  first.join();
  second.join();
  EXPECT_EQ(gate_.runs(), 2);
}

TEST_F(PullTableTest, ACallerWhoLeavesDoesNotTakeThePullFromTheOthers) {
  Cancel leaving;
  PullTable::Result gone;
  PullTable::Result stays;
  std::thread first = Join(Key("x"), &gone, &leaving);
  std::thread second = Join(Key("x"), &stays);
  WaitForCallers(2);
  leaving.Set();
  first.join();
  EXPECT_EQ(gone.status().code(), absl::StatusCode::kCancelled);
  gate_.Open();
  second.join();
  EXPECT_EQ(*stays, image_);
}

TEST_F(PullTableTest, WhenTheLastCallerLeavesThePullIsAbandonedAndTheNextStartsAnew) {
  Cancel leaving;
  PullTable::Result gone;
  std::thread first = Join(Key("x"), &gone, &leaving);
  WaitForCallers(1);
  leaving.Set();
  first.join();
  EXPECT_EQ(gone.status().code(), absl::StatusCode::kCancelled);
  EXPECT_THAT(table_.List(), IsEmpty());
  gate_.Open();
  PullTable::Result again;
  Join(Key("x"), &again).join();
  EXPECT_EQ(*again, image_);
  EXPECT_EQ(gate_.runs(), 2);
}

TEST_F(PullTableTest, MoreThanTheLimitWaitTheirTurnAndCanLeaveTheQueue) {
  PullTable::Result results[3];
  std::thread one = Join(Key("1"), &results[0]);
  std::thread two = Join(Key("2"), &results[1]);
  WaitForCallers(2);
  while (gate_.runs() < 2) std::this_thread::yield();
  Cancel leaving;
  std::thread three = Join(Key("3"), &results[2], &leaving);
  WaitForCallers(3);
  int queued = 0;
  for (const PullStatus& pull : table_.List()) queued += pull.queued ? 1 : 0;
  EXPECT_EQ(queued, 1);
  leaving.Set();
  three.join();
  EXPECT_EQ(results[2].status().code(), absl::StatusCode::kCancelled);
  gate_.Open();
  one.join();
  two.join();
  EXPECT_EQ(gate_.runs(), 2);
}

}  // namespace
}  // namespace berth::image

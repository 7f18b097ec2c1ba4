// What a pull of 200 MB takes: the budget of both processes together is 64 MiB.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/os/file.h"
#include "image/worker/confine.h"
#include "image/worker/testing/real_registry.h"
#include "image/worker/testing/test_registry.h"
#include "image/worker/testing/worker_run.h"
#include "tests/fixtures/leak.h"

namespace berth::worker {
namespace {

using namespace testing;  // NOLINT: TempDir, Content and their kin

constexpr uint64_t kBudgetKib = 64 << 10;

// Does not compress.
std::string Noise(size_t size, uint32_t seed) {
  std::string text(size, '\0');
  uint32_t x = seed;
  for (char& c : text) c = static_cast<char>((x = x * 1664525 + 1013904223) >> 24);
  return text;
}

// "VmHWM:     1234 kB" in a file of /proc; 0 when the process is gone.
uint64_t Kib(const std::string& path, const std::string& key) {
  const std::string text = os::ReadFile(path, 1 << 20).value_or("");
  const size_t at = text.find(key + ":");
  uint64_t value = 0;
  if (at == std::string::npos) return 0;
  const std::vector<std::string> words =
      absl::StrSplit(text.substr(at, text.find('\n', at) - at), ' ', absl::SkipEmpty());
  (void)absl::SimpleAtoi(words.size() > 1 ? words[1] : "", &value);
  return value;
}

// What both processes of a pull took at most, as far as was looked.
struct Peaks {
  uint64_t pss = 0;
  std::map<pid_t, uint64_t> rss;

  void Look(pid_t worker) {
    std::vector<pid_t> pids = {worker};
    const std::string children =
        os::ReadFile(absl::StrCat("/proc/", worker, "/task/", worker, "/children"), 4096)
            .value_or("");
    pid_t child = 0;
    for (absl::string_view word : absl::StrSplit(children, ' ', absl::SkipWhitespace())) {
      if (absl::SimpleAtoi(word, &child)) pids.push_back(child);
    }
    uint64_t now = 0;
    for (const pid_t pid : pids) {
      now += Kib(absl::StrCat("/proc/", pid, "/smaps_rollup"), "Pss");
      rss[pid] = std::max(rss[pid], Kib(absl::StrCat("/proc/", pid, "/status"), "VmHWM"));
    }
    pss = std::max(pss, now);
  }
  uint64_t SumOfRss() const {
    uint64_t sum = 0;
    for (const auto& [pid, kib] : rss) sum += kib;
    return sum;
  }
};

void Fill(const RealRegistry& registry) {
  Content content;
  std::vector<LayerSpec> layers;
  layers.reserve(9);
  for (uint32_t i = 0; i < 9; ++i) {
    layers.push_back(GzipLayer(Tar({File(absl::StrCat("f", i), Noise(22'500'000, i))})));
  }
  content.AddImage(layers, "1");
  ASSERT_TRUE(berth::testing::Eventually([&] { return registry.Answers(); }, absl::Seconds(20)));
  const absl::Status pushed = Push(content, "http://" + registry.authority(), "team/app");
  ASSERT_TRUE(pushed.ok()) << pushed;
}

TEST(PullMemoryTest, TwoHundredMegabytesStayWithinTheBudget) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer's shadow memory counts";
  const TempDir dir;
  const std::string staging = dir.path() + "/staging";
  ASSERT_EQ(mkdir(staging.c_str(), 0700), 0);
  const RealRegistry registry({dir.path()});
  ASSERT_NO_FATAL_FAILURE(Fill(registry));
  PullRequest request;
  request.set_registry(registry.authority());
  request.set_repository("team/app");
  request.set_tag("1");
  Peaks peaks;
  PullOptions options;
  options.on_message = [&](pid_t worker) { peaks.Look(worker); };
  const auto result = RunPull(request, staging, options);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->layers.size(), 9u);
  ASSERT_EQ(peaks.rss.size(), 2u);
  RecordProperty("largest_pss_kib", absl::StrCat(peaks.pss));
  RecordProperty("sum_of_peak_rss_kib", absl::StrCat(peaks.SumOfRss()));
  EXPECT_THAT(peaks.pss, ::testing::AllOf(::testing::Gt(0u), ::testing::Le(kBudgetKib)));
  // Counts each shared page twice, and peaks of different moments: an upper bound.
  EXPECT_LE(peaks.SumOfRss(), kBudgetKib);
}

}  // namespace
}  // namespace berth::worker

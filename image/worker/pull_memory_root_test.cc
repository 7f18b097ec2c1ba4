// What a pull of 200 MB takes: the budget of both processes together is 64 MiB.
#include <gtest/gtest.h>
#include <sys/stat.h>

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

TEST(PullMemoryTest, TwoHundredMegabytesStayWithinTheBudget) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer's shadow memory counts";
  const TempDir dir;
  const std::string staging = dir.path() + "/staging";
  ASSERT_EQ(mkdir(staging.c_str(), 0700), 0);
  const RealRegistry registry({dir.path()});
  {
    Content content;
    std::vector<LayerSpec> layers;
    for (uint32_t i = 0; i < 9; ++i) {
      layers.push_back(GzipLayer(Tar({File(absl::StrCat("f", i), Noise(22'500'000, i))})));
    }
    content.AddImage(layers, "1");
    ASSERT_TRUE(berth::testing::Eventually([&] { return registry.Answers(); }, absl::Seconds(20)));
    const absl::Status pushed = Push(content, "http://" + registry.authority(), "team/app");
    ASSERT_TRUE(pushed.ok()) << pushed;
  }
  PullRequest request;
  request.set_registry(registry.authority());
  request.set_repository("team/app");
  request.set_tag("1");
  uint64_t largest_pss = 0;
  std::map<pid_t, uint64_t> peak_rss;
  PullOptions options;
  options.on_message = [&](pid_t worker) {
    std::vector<pid_t> pids = {worker};
    const std::string children =
        os::ReadFile(absl::StrCat("/proc/", worker, "/task/", worker, "/children"), 4096)
            .value_or("");
    pid_t child = 0;
    for (absl::string_view word : absl::StrSplit(children, ' ', absl::SkipWhitespace())) {
      if (absl::SimpleAtoi(word, &child)) pids.push_back(child);
    }
    uint64_t pss = 0;
    for (const pid_t pid : pids) {
      pss += Kib(absl::StrCat("/proc/", pid, "/smaps_rollup"), "Pss");
      const uint64_t rss = Kib(absl::StrCat("/proc/", pid, "/status"), "VmHWM");
      peak_rss[pid] = std::max(peak_rss[pid], rss);
    }
    largest_pss = std::max(largest_pss, pss);
  };
  const auto result = RunPull(request, staging, options);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->layers.size(), 9u);
  ASSERT_EQ(peak_rss.size(), 2u);
  uint64_t rss = 0;
  for (const auto& [pid, kib] : peak_rss) rss += kib;
  RecordProperty("largest_pss_kib", absl::StrCat(largest_pss));
  RecordProperty("sum_of_peak_rss_kib", absl::StrCat(rss));
  EXPECT_GT(largest_pss, 0u);
  EXPECT_LE(largest_pss, kBudgetKib) << "peak RSS together " << rss << " KiB";
  // Counts each shared page twice, and peaks of different moments: an upper bound.
  EXPECT_LE(rss, kBudgetKib);
  printf("largest PSS of both %llu KiB, peak RSS together %llu KiB\n",
         static_cast<unsigned long long>(largest_pss), static_cast<unsigned long long>(rss));
}

}  // namespace
}  // namespace berth::worker

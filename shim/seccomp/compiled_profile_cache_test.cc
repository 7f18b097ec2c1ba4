#include "shim/seccomp/compiled_profile_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <thread>
#include <vector>

#include "base/ids.h"
#include "base/os/file.h"

namespace berth::shim::seccomp {
namespace {

Profile Permitting(const std::string& name) {
  Profile profile;
  profile.architectures = HostArchitectures();
  profile.rules = {{{name}, {Action::kAllow, 0}, {}}};
  return profile;
}

class CompiledProfileCacheTest : public testing::Test {
 protected:
  void TearDown() override { ASSERT_TRUE(os::RemoveTree(AT_FDCWD, directory_).ok()); }

  std::unique_ptr<CompiledProfileCache> Open(const std::string& directory) {
    auto cache = CompiledProfileCache::Open(directory, [this](const Profile& profile) {
      ++compilations_;
      return Compile(profile);
    });
    EXPECT_TRUE(cache.ok()) << cache.status();
    return std::move(*cache);
  }
  std::string OnlyFile() {
    const auto names = os::ListDir(AT_FDCWD, directory_);
    EXPECT_TRUE(names.ok() && names->size() == 1);
    return names.ok() && !names->empty() ? directory_ + "/" + names->front() : "";
  }
  void Overwrite(const std::string& path, const std::string& data) {
    const auto file = os::Open(path, O_WRONLY | O_TRUNC | O_CREAT, 0600);
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_TRUE(os::WriteAll(file->get(), data).ok());
  }

  const std::string directory_ = "/tmp/berth-seccomp-" + NewHexId().substr(0, 12);
  std::atomic<int> compilations_{0};
};

TEST_F(CompiledProfileCacheTest, OneProfileIsCompiledOnceInOneProcess) {
  const auto cache = Open("");
  const auto first = cache->Get(Permitting("read"));
  const auto second = cache->Get(Permitting("read"));
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(*first, *second);
  EXPECT_EQ(*first, *Compile(Permitting("read")));
  EXPECT_EQ(compilations_, 1);
}

TEST_F(CompiledProfileCacheTest, DifferentProfilesGetDifferentPrograms) {
  const auto cache = Open(directory_);
  EXPECT_NE(*cache->Get(Permitting("read")), *cache->Get(Permitting("write")));
  EXPECT_EQ(compilations_, 2);
}

TEST_F(CompiledProfileCacheTest, NextProcessReadsThePrivateFile) {
  const std::string program = *Open(directory_)->Get(Permitting("read"));
  struct stat info = {};
  ASSERT_EQ(stat(OnlyFile().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  EXPECT_EQ(*Open(directory_)->Get(Permitting("read")), program);
  EXPECT_EQ(compilations_, 1);
}

TEST_F(CompiledProfileCacheTest, DamagedFilesAreCompiledAnewAndRewritten) {
  const std::string program = *Open(directory_)->Get(Permitting("read"));
  const std::string path = OnlyFile();
  const std::string good = *os::ReadFile(path, 1 << 20);
  std::string flipped = good;
  flipped.back() = static_cast<char>(flipped.back() ^ 1);
  std::string wrong_length = good;
  wrong_length[12] = static_cast<char>(wrong_length[12] ^ 8);
  int expected = 1;
  for (const std::string& bad :
       {std::string(), good.substr(0, 20), good.substr(0, good.size() - 8), good + "12345678",
        flipped, wrong_length, std::string(1 << 17, 'x')}) {
    Overwrite(path, bad);
    EXPECT_EQ(*Open(directory_)->Get(Permitting("read")), program);
    EXPECT_EQ(compilations_, ++expected);
    EXPECT_EQ(*os::ReadFile(path, 1 << 20), good);
  }
}

TEST_F(CompiledProfileCacheTest, ConcurrentRequestsShareOneCompilation) {
  const auto cache = Open(directory_);
  std::vector<std::thread> threads;
  threads.reserve(16);
  std::atomic<int> right{0};
  const std::string program = *Compile(Permitting("read"));
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([&] {
      const auto got = cache->Get(Permitting("read"));
      if (got.ok() && *got == program) ++right;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 16);
  EXPECT_EQ(compilations_, 1);
}

TEST_F(CompiledProfileCacheTest, ErrorIsReturnedAndNotRemembered) {
  int calls = 0;
  auto cache = CompiledProfileCache::Open("", [&calls](const Profile& profile) {
    if (++calls == 1) return absl::StatusOr<std::string>(absl::InternalError("once"));
    return Compile(profile);
  });
  ASSERT_TRUE(cache.ok());
  EXPECT_EQ((*cache)->Get(Permitting("read")).status().message(), "once");
  EXPECT_TRUE((*cache)->Get(Permitting("read")).ok());
}

TEST_F(CompiledProfileCacheTest, MemoryIsBoundedAndTheDiskRemembers) {
  const auto cache = Open(directory_);
  const size_t count = CompiledProfileCache::kMaxInMemory + 10;
  for (size_t i = 0; i < count; ++i) {
    Profile profile = Permitting("read");
    profile.default_verdict.data = static_cast<uint16_t>(i + 1);
    ASSERT_TRUE(cache->Get(profile).ok());
  }
  Profile first = Permitting("read");
  first.default_verdict.data = 1;
  ASSERT_TRUE(cache->Get(first).ok());
  EXPECT_EQ(compilations_, static_cast<int>(count));
}

TEST_F(CompiledProfileCacheTest, FilesOfOtherVersionsGoAndForeignFilesStay) {
  ASSERT_TRUE(os::EnsureDir(directory_, 0700).ok());
  const std::string key(64, 'a');
  Overwrite(directory_ + "/" + key + "-0000000000000000.bpf", "old");
  Overwrite(directory_ + "/." + key + "-" + CompilerVersion() + ".bpf.0123456789ab", "half");
  Overwrite(directory_ + "/" + key + "-" + CompilerVersion() + ".bpf", "kept");
  Overwrite(directory_ + "/README", "kept");
  const auto cache = Open(directory_);
  EXPECT_EQ(*os::ListDir(AT_FDCWD, directory_),
            (std::vector<std::string>{"README", key + "-" + CompilerVersion() + ".bpf"}));
}

}  // namespace
}  // namespace berth::shim::seccomp

// TestDir: a temporary directory of a test, removed afterwards. For tests only.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <string>

#include "base/os/file.h"

namespace berth::os {

class TestDir {
 public:
  explicit TestDir(const std::string& parent = "/tmp") : path_(parent + "/berth-test-XXXXXX") {
    if (mkdtemp(path_.data()) == nullptr) path_.clear();
    EXPECT_FALSE(path_.empty()) << "mkdtemp failed";
  }
  ~TestDir() {
    const absl::Status status = RemoveTree(AT_FDCWD, path_);
    EXPECT_TRUE(status.ok()) << status;
  }
  TestDir(const TestDir&) = delete;
  TestDir& operator=(const TestDir&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

  // Makes the file `name` of this directory, and the directories that it lies in.
  void Write(const std::string& name, absl::string_view text) const {
    const std::string full = path_ + "/" + name;
    EXPECT_TRUE(MakeDirs(full.substr(0, full.rfind('/')), 0755).ok());
    absl::StatusOr<UniqueFd> fd = Open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    ASSERT_TRUE(fd.ok()) << fd.status();
    EXPECT_TRUE(WriteAll(fd->get(), text).ok());
  }

 private:
  std::string path_;
};

}  // namespace berth::os

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

 private:
  std::string path_;
};

}  // namespace berth::os

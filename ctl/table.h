// Table: rows of text in aligned columns. Not thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace berth::ctl {

class Table {
 public:
  explicit Table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }
  // As many cells as the header has. Control bytes are shown as '?'.
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  std::string Text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// "7s", "3m", "5h", "12d" since a wall clock time in nanoseconds.
std::string Age(int64_t wall_nanos);
// "1.4 MiB".
std::string Bytes(uint64_t bytes);

}  // namespace berth::ctl

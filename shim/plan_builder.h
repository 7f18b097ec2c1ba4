// PlanBuilder: lays out a plan buffer (plan.h) in the parent, where allocation is allowed.
// Not part of the child's library. Not thread-safe.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "shim/child/plan.h"

namespace berth::shim::child {

class PlanBuilder {
 public:
  explicit PlanBuilder(size_t header_size) : buffer_(header_size, '\0') {}

  // `text` must not hold a NUL byte: the child reads up to the first.
  Text AddText(absl::string_view text);
  Span AddTexts(const std::vector<std::string>& texts);
  // Empty values stand for flags: offset 0.
  Span AddPairs(const std::vector<std::pair<std::string, std::string>>& pairs);
  Span AddBytes(absl::string_view bytes, uint32_t count);
  template <typename T>
  Span AddArray(const std::vector<T>& elements) {
    return AddBytes(absl::string_view(reinterpret_cast<const char*>(elements.data()),
                                      elements.size() * sizeof(T)),
                    static_cast<uint32_t>(elements.size()));
  }

  // Puts the header in its place at the front, with its size field set.
  template <typename Header>
  std::string Finish(Header header) && {
    header.size = static_cast<uint32_t>(buffer_.size());
    std::memcpy(buffer_.data(), &header, sizeof header);
    return std::move(buffer_);
  }

 private:
  std::string buffer_;
};

}  // namespace berth::shim::child

#include "shim/plan_builder.h"

namespace berth::shim::child {

Text PlanBuilder::AddText(absl::string_view text) {
  const auto offset = static_cast<Text>(buffer_.size());
  buffer_.append(text.data(), text.size());
  buffer_.push_back('\0');
  return offset;
}

Span PlanBuilder::AddTexts(const std::vector<std::string>& texts) {
  std::vector<Text> offsets;
  offsets.reserve(texts.size());
  for (const std::string& text : texts) offsets.push_back(AddText(text));
  return AddArray(offsets);
}

Span PlanBuilder::AddPairs(const std::vector<std::pair<std::string, std::string>>& pairs) {
  std::vector<TextPair> offsets;
  offsets.reserve(pairs.size());
  for (const auto& [first, second] : pairs) {
    offsets.push_back({AddText(first), second.empty() ? 0 : AddText(second)});
  }
  return AddArray(offsets);
}

Span PlanBuilder::AddBytes(absl::string_view bytes, uint32_t count) {
  buffer_.resize((buffer_.size() + 7) & ~size_t{7});
  const auto offset = static_cast<uint32_t>(buffer_.size());
  buffer_.append(bytes.data(), bytes.size());
  return Span{offset, count};
}

}  // namespace berth::shim::child

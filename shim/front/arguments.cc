#include "shim/front/arguments.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace berth::shim::front {
namespace {

const Flag* Find(absl::string_view name, std::initializer_list<Flag> known) {
  for (const Flag& flag : known) {
    if (name == flag.name) return &flag;
    if (flag.letter != 0 && name.size() == 1 && name[0] == flag.letter) return &flag;
  }
  return nullptr;
}

}  // namespace

absl::StatusOr<Arguments> Arguments::Parse(const Words& words, std::initializer_list<Flag> known) {
  Arguments out;
  size_t i = 0;
  for (; i < words.size(); ++i) {
    absl::string_view word = words[i];
    if (word == "--") {
      ++i;
      break;
    }
    // "-" alone stands for standard input.
    if (word.size() < 2 || !absl::ConsumePrefix(&word, "-")) break;
    (void)absl::ConsumePrefix(&word, "-");
    const size_t equals = word.find('=');
    const absl::string_view name = word.substr(0, equals);
    const Flag* flag = Find(name, known);
    if (flag == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat("unknown flag: ", words[i]));
    }
    Words& values = out.values_[flag->name];
    if (equals != absl::string_view::npos) {
      values.emplace_back(word.substr(equals + 1));
    } else if (flag->kind == Flag::kSwitch) {
      values.emplace_back("true");
    } else if (i + 1 < words.size()) {
      values.push_back(words[++i]);
    } else {
      return absl::InvalidArgumentError(absl::StrCat("--", flag->name, ": needs a value"));
    }
    bool on = false;
    if (flag->kind == Flag::kSwitch && !absl::SimpleAtob(values.back(), &on)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", flag->name, ": neither true nor false: ", values.back()));
    }
  }
  out.words_.assign(words.begin() + static_cast<std::ptrdiff_t>(i), words.end());
  return out;
}

bool Arguments::IsOn(const char* name) const {
  bool on = false;
  return Has(name) && absl::SimpleAtob(values_.at(name).back(), &on) && on;
}

std::string Arguments::Text(const char* name, absl::string_view otherwise) const {
  return Has(name) ? values_.at(name).back() : std::string(otherwise);
}

Words Arguments::List(const char* name) const { return Has(name) ? values_.at(name) : Words(); }

absl::StatusOr<std::optional<int64_t>> Arguments::Number(const char* name) const {
  if (!Has(name)) return std::optional<int64_t>();
  int64_t value = 0;
  if (absl::SimpleAtoi(values_.at(name).back(), &value)) return std::optional<int64_t>(value);
  return absl::InvalidArgumentError(
      absl::StrCat("--", name, ": not a number: ", values_.at(name).back()));
}

absl::Status Arguments::Expect(size_t min, size_t max) const {
  if (words_.size() >= min && words_.size() <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(words_.size() < min
                                        ? "too few arguments"
                                        : absl::StrCat("unexpected argument: ", words_[max]));
}

}  // namespace berth::shim::front

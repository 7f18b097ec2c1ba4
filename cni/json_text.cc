#include "cni/json_text.h"

#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace berth::cni {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 64;

// Builds nothing; keeps the error.
class Checker : public nlohmann::json_sax<json> {
 public:
  bool null() override { return true; }
  bool boolean(bool /*value*/) override { return true; }
  bool number_integer(number_integer_t /*value*/) override { return true; }
  bool number_unsigned(number_unsigned_t /*value*/) override { return true; }
  bool number_float(number_float_t /*value*/, const string_t& /*text*/) override { return true; }
  bool string(string_t& /*value*/) override { return true; }
  bool binary(binary_t& /*value*/) override { return true; }
  bool start_object(size_t /*elements*/) override { return Enter(); }
  bool key(string_t& /*value*/) override { return true; }
  bool end_object() override { return Leave(); }
  bool start_array(size_t /*elements*/) override { return Enter(); }
  bool end_array() override { return Leave(); }
  bool parse_error(size_t position, const std::string& /*token*/,
                   const nlohmann::detail::exception& error) override {
    // "[json.exception.parse_error.101] parse error at line 3, column 7: ..."; a number out of
    // range has no line.
    absl::string_view what = error.what();
    const size_t line = what.find("line ");
    if (line != absl::string_view::npos) {
      what.remove_prefix(line);
      error_ = Excerpt(what, 200);
    } else {
      const size_t text = what.find("] ");
      if (text != absl::string_view::npos) what.remove_prefix(text + 2);
      error_ = absl::StrCat("byte ", position, ": ", Excerpt(what, 200));
    }
    return false;
  }

  const std::string& error() const { return error_; }

 private:
  bool Enter() {
    if (++depth_ <= kMaxDepth) return true;
    error_ = absl::StrCat("nested deeper than ", kMaxDepth, " levels");
    return false;
  }
  bool Leave() {
    --depth_;
    return true;
  }

  int depth_ = 0;
  std::string error_;
};

}  // namespace

absl::Status CheckJson(absl::string_view text) {
  Checker checker;
  if (json::sax_parse(text.begin(), text.end(), &checker)) return absl::OkStatus();
  return absl::InvalidArgumentError(checker.error());
}

std::string Excerpt(absl::string_view text, size_t max) {
  text = absl::StripAsciiWhitespace(text);
  std::string line;
  for (const char c : text.substr(0, max)) {
    if (c == '\n' || c == '\r' || c == '\t') {
      if (!absl::EndsWith(line, " ")) line.push_back(' ');
    } else {
      line.push_back(absl::ascii_isprint(static_cast<unsigned char>(c)) ? c : '?');
    }
  }
  if (text.size() > max) line += "...";
  return line;
}

std::string JsonString(absl::string_view text) {
  return json(std::string(text)).dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace berth::cni

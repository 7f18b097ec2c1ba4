#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "shim/oci/json_reader.h"

namespace berth::shim::oci {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxDepth = 64;  // a configuration uses six; the rest is for unknown properties

// Walks the text without building anything. Each handler answers whether to go on.
class Checker : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return Value(); }
  bool boolean(bool) override { return Value(); }
  bool number_integer(number_integer_t) override { return Value(); }
  bool number_unsigned(number_unsigned_t) override { return Value(); }
  bool number_float(number_float_t, const string_t&) override { return Value(); }
  bool string(string_t&) override { return Value(); }
  bool binary(binary_t&) override { return Value(); }
  bool start_object(size_t) override { return Open(false); }
  bool start_array(size_t) override { return Open(true); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }
  bool key(string_t& name) override {
    frames_.back().name = name;
    if (frames_.back().names.insert(name).second) return true;
    return Refuse("appears twice");
  }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    status_ = absl::InvalidArgumentError(absl::StrCat("not valid JSON at byte ", position));
    return false;
  }

  const absl::Status& status() const { return status_; }

 private:
  struct Frame {
    bool is_array = false;
    size_t count = 0;
    std::string name;
    std::set<std::string> names;
  };

  // The first text that begins counts as an element of the array around it.
  bool Value() {
    if (!frames_.empty()) ++frames_.back().count;
    return true;
  }
  bool Open(bool is_array) {
    Value();
    if (frames_.size() == kMaxDepth) return Refuse("nests too deep");
    frames_.push_back({is_array, 0, "", {}});
    return true;
  }
  bool Close() {
    frames_.pop_back();
    return true;
  }
  bool Refuse(absl::string_view problem) {
    std::string path;
    for (const Frame& frame : frames_) {
      if (frame.is_array) {
        absl::StrAppend(&path, "[", frame.count - 1, "]");
      } else {
        absl::StrAppend(&path, path.empty() ? "" : ".", frame.name);
      }
    }
    status_ = absl::InvalidArgumentError(absl::StrCat(path, ": ", problem));
    return false;
  }

  std::vector<Frame> frames_;
  absl::Status status_;
};

}  // namespace

absl::Status CheckJson(absl::string_view text) {
  Checker checker;
  (void)Json::sax_parse(text.begin(), text.end(), &checker);  // what it found is in the checker
  return checker.status();
}

}  // namespace berth::shim::oci

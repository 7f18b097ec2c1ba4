#include "shim/oci/json_reader.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace berth::shim::oci {

using Json = nlohmann::json;

JsonReader::JsonReader(const Json* value, std::string path, absl::Status* error)
    : value_(value), path_(std::move(path)), error_(error) {
  if (value_ != nullptr && value_->is_null()) value_ = nullptr;
  if (value_ != nullptr && !value_->is_object()) {
    value_ = nullptr;
    if (error_->ok()) {
      *error_ = absl::InvalidArgumentError(absl::StrCat(path_, ": must be an object"));
    }
  }
}

std::string JsonReader::PathOf(absl::string_view key) const {
  return path_.empty() ? std::string(key) : absl::StrCat(path_, ".", key);
}

void JsonReader::Fail(absl::string_view key, absl::string_view problem) const {
  if (!error_->ok()) return;
  *error_ = absl::InvalidArgumentError(absl::StrCat(PathOf(key), ": ", problem));
}

const Json* JsonReader::Find(absl::string_view key) const {
  if (value_ == nullptr) return nullptr;
  const auto it = value_->find(std::string(key));
  return it == value_->end() || it->is_null() ? nullptr : &*it;
}

bool JsonReader::Has(absl::string_view key) const { return Find(key) != nullptr; }

bool JsonReader::Text(absl::string_view key, const Json& value, std::string* out) const {
  if (!value.is_string()) {
    Fail(key, "must be a string");
    return false;
  }
  const auto& text = value.get_ref<const std::string&>();
  if (text.find('\0') != std::string::npos) {
    Fail(key, "contains a NUL byte");
    return false;
  }
  *out = text;
  return true;
}

void JsonReader::Read(absl::string_view key, std::string* out) const {
  const Json* value = Find(key);
  if (value != nullptr) Text(key, *value, out);
}

void JsonReader::Read(absl::string_view key, bool* out) const {
  const Json* value = Find(key);
  if (value == nullptr) return;
  if (!value->is_boolean()) return Fail(key, "must be true or false");
  *out = value->get<bool>();
}

void JsonReader::Read(absl::string_view key, std::vector<std::string>* out) const {
  const Json* value = Find(key);
  if (value == nullptr) return;
  if (!value->is_array()) return Fail(key, "must be an array of strings");
  out->clear();
  out->reserve(value->size());
  for (size_t i = 0; i < value->size(); ++i) {
    if (!Text(absl::StrCat(key, "[", i, "]"), (*value)[i], &out->emplace_back())) return;
  }
}

void JsonReader::Read(absl::string_view key, std::map<std::string, std::string>* out) const {
  const Json* value = Find(key);
  if (value == nullptr) return;
  if (!value->is_object()) return Fail(key, "must be an object of strings");
  for (const auto& [name, text] : value->items()) {
    if (name.find('\0') != std::string::npos) return Fail(key, "a name contains a NUL byte");
    if (!Text(absl::StrCat(key, "[\"", name, "\"]"), text, &(*out)[name])) return;
  }
}

void JsonReader::CheckKnown(absl::string_view key, const std::vector<std::string>& values,
                            std::initializer_list<absl::string_view> known) const {
  for (const std::string& value : values) {
    if (std::find(known.begin(), known.end(), value) != known.end()) continue;
    Fail(key, absl::StrCat("unknown: \"", value, "\"; known: ", absl::StrJoin(known, ", ")));
  }
}

std::optional<JsonReader::Wide> JsonReader::Integer(absl::string_view key, int64_t min,
                                                    uint64_t max) const {
  const Json* value = Find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number_integer()) {
    Fail(key, "must be an integer");
    return std::nullopt;
  }
  // nlohmann keeps what is not negative as unsigned.
  const bool negative = !value->is_number_unsigned() && value->get<int64_t>() < 0;
  if (negative ? value->get<int64_t>() < min : value->get<uint64_t>() > max) {
    Fail(key, absl::StrCat("out of range: ", value->dump()));
    return std::nullopt;
  }
  return Wide{negative ? static_cast<uint64_t>(value->get<int64_t>()) : value->get<uint64_t>()};
}

JsonReader JsonReader::Object(absl::string_view key) const {
  return JsonReader(Find(key), PathOf(key), error_);
}

void JsonReader::Each(absl::string_view key,
                      const std::function<void(const JsonReader&)>& body) const {
  const Json* value = Find(key);
  if (value == nullptr) return;
  if (!value->is_array()) return Fail(key, "must be an array");
  for (size_t i = 0; i < value->size() && error_->ok(); ++i) {
    body(JsonReader(&(*value)[i], absl::StrCat(PathOf(key), "[", i, "]"), error_));
  }
}

void JsonReader::Members(
    absl::string_view key,
    const std::function<void(const std::string&, const JsonReader&)>& body) const {
  const Json* value = Find(key);
  if (value == nullptr) return;
  if (!value->is_object()) return Fail(key, "must be an object");
  for (const auto& [name, member] : value->items()) {
    if (!error_->ok()) return;
    if (name.find('\0') != std::string::npos) return Fail(key, "a name contains a NUL byte");
    body(name, JsonReader(&member, absl::StrCat(PathOf(key), "[\"", name, "\"]"), error_));
  }
}

void JsonReader::EachInt(absl::string_view key, const std::function<void(int64_t)>& body) const {
  const Json* value = Find(key);
  if (value == nullptr) return;
  if (!value->is_array()) return Fail(key, "must be an array of integers");
  for (size_t i = 0; i < value->size() && error_->ok(); ++i) {
    const Json& element = (*value)[i];
    if (!element.is_number_integer()) {
      return Fail(absl::StrCat(key, "[", i, "]"), "must be an integer");
    }
    body(element.get<int64_t>());
  }
}

std::string JsonReader::ObjectText(absl::string_view key) const {
  const Json* value = Find(key);
  if (value == nullptr) return "";
  if (!value->is_object()) Fail(key, "must be an object");
  return Dump(*value);
}

absl::StatusOr<Json> ParseJsonObject(absl::string_view text) {
  Json value = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) return absl::InvalidArgumentError("not valid JSON");
  if (!value.is_object()) return absl::InvalidArgumentError("must be a JSON object");
  return value;
}

std::string Dump(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace berth::shim::oci

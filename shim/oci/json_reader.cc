#include "shim/oci/json_reader.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"

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

void JsonReader::Read(absl::string_view key, std::string* out) const {
  const Json* value = Find(key);
  if (value == nullptr) return;
  if (!value->is_string()) return Fail(key, "must be a string");
  *out = value->get_ref<const std::string&>();
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
    if (!(*value)[i].is_string()) return Fail(absl::StrCat(key, "[", i, "]"), "must be a string");
    out->push_back((*value)[i].get_ref<const std::string&>());
  }
}

void JsonReader::Read(absl::string_view key, std::map<std::string, std::string>* out) const {
  const Json* value = Find(key);
  if (value == nullptr) return;
  if (!value->is_object()) return Fail(key, "must be an object of strings");
  for (const auto& [name, text] : value->items()) {
    if (!text.is_string()) return Fail(absl::StrCat(key, "[\"", name, "\"]"), "must be a string");
    (*out)[name] = text.get_ref<const std::string&>();
  }
}

void JsonReader::Require(absl::string_view key, std::string* out) const {
  if (!Has(key)) return Fail(key, "is required");
  Read(key, out);
}

void JsonReader::Require(absl::string_view key, std::vector<std::string>* out) const {
  if (!Has(key)) return Fail(key, "is required");
  Read(key, out);
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

void JsonReader::Refuse(std::initializer_list<const char*> keys) const {
  for (const char* key : keys) {
    const Json* value = Find(key);
    if (value == nullptr || !error_->ok()) continue;
    const bool empty = (value->is_boolean() && !value->get<bool>()) ||
                       (value->is_structured() && value->empty()) ||
                       (value->is_string() && value->get_ref<const std::string&>().empty());
    if (empty) continue;
    const std::string text = value->is_structured() ? "" : absl::StrCat(" ", Dump(*value), ":");
    *error_ = absl::UnimplementedError(absl::StrCat(PathOf(key), ":", text, " is not offered"));
  }
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

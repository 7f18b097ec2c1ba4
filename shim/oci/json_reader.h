// Reading a JSON object into typed fields, with errors that begin with the JSON path:
// "linux.resources.memory.limit: must be an integer". Private to berth_shim_oci: nlohmann's type
// is named here only for its own .cc files.
// The first error stays in the shared status and later reads change nothing, so that a parser
// reads as the list of its fields. Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace berth::shim::oci {

struct Spec;

class JsonReader {
 public:
  // Borrowed: `value` and `error` outlive it. A null value reads as an empty object.
  JsonReader(const nlohmann::json* value, std::string path, absl::Status* error);

  const std::string& path() const { return path_; }
  // Records InvalidArgument "<path>.<key>: <problem>".
  void Fail(absl::string_view key, absl::string_view problem) const;

  // Absent and null leave *out alone.
  void Read(absl::string_view key, std::string* out) const;
  void Read(absl::string_view key, bool* out) const;
  void Read(absl::string_view key, std::vector<std::string>* out) const;
  void Read(absl::string_view key, std::map<std::string, std::string>* out) const;
  template <typename Int>
  void ReadInt(absl::string_view key, Int* out) const {
    using Limits = std::numeric_limits<Int>;
    if (std::optional<Wide> value = Integer(key, Limits::min(), Limits::max())) {
      *out = static_cast<Int>(value->bits);
    }
  }
  template <typename Int>
  void ReadInt(absl::string_view key, std::optional<Int>* out) const {
    Int value{};
    if (!Has(key)) return;
    ReadInt(key, &value);
    *out = value;
  }
  // Missing is an error.
  template <typename T>
  void Require(absl::string_view key, T* out) const {
    if (!Has(key)) return Fail(key, "is required");
    Read(key, out);
  }
  template <typename Int>
  void RequireInt(absl::string_view key, Int* out) const {
    if (!Has(key)) return Fail(key, "is required");
    ReadInt(key, out);
  }
  // Fails unless each of `values` is among `known`.
  void CheckKnown(absl::string_view key, const std::vector<std::string>& values,
                  std::initializer_list<absl::string_view> known) const;

  bool Has(absl::string_view key) const;
  JsonReader Object(absl::string_view key) const;
  void Each(absl::string_view key, const std::function<void(const JsonReader&)>& body) const;
  // Members of an object of objects, by name.
  void Members(absl::string_view key,
               const std::function<void(const std::string&, const JsonReader&)>& body) const;
  // Elements that are integers.
  void EachInt(absl::string_view key, const std::function<void(int64_t)>& body) const;

  // The text of an object as it stands, compact; "" when absent.
  std::string ObjectText(absl::string_view key) const;

 private:
  struct Wide {
    uint64_t bits;
  };
  const nlohmann::json* Find(absl::string_view key) const;
  std::optional<Wide> Integer(absl::string_view key, int64_t min, uint64_t max) const;
  std::string PathOf(absl::string_view key) const;
  // Copies a string. A text with a NUL byte is none: whatever it names, the kernel would read less.
  bool Text(absl::string_view key, const nlohmann::json& value, std::string* out) const;

  const nlohmann::json* value_;
  std::string path_;
  absl::Status* error_;
};

// nullopt with InvalidArgument in *error when the text is no JSON object.
absl::StatusOr<nlohmann::json> ParseJsonObject(absl::string_view text);
// For what others wrote: InvalidArgument with the place of what is not JSON, of a name that appears
// twice in an object and of what nests too deep.
absl::Status CheckJson(absl::string_view text);

absl::StatusOr<Spec> SpecFromJson(const nlohmann::json& value);
nlohmann::json SpecToJson(const Spec& spec);
// dump() that replaces what is not UTF-8 instead of throwing.
std::string Dump(const nlohmann::json& value);

// Names of namespace types: "pid", "network", ...
const char* NamespaceName(int type);
std::optional<int> NamespaceNumber(absl::string_view name);

// The annotation that carries where Latin-1 stands for bytes; see SpecToJson.
constexpr char kLatin1Annotation[] = "dev.berth.latin1";

}  // namespace berth::shim::oci

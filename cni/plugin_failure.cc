#include "cni/plugin_failure.h"

#include <sys/wait.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "cni/json_text.h"

namespace berth::cni {
namespace {

using nlohmann::json;

constexpr size_t kMaxQuote = 1024;

// The error object of the specification, section 5.
struct PluginError {
  int64_t code = 0;
  std::string msg;
  std::string details;
};

std::string TextOf(const json& object, const char* key) {
  const auto it = object.find(key);
  return it == object.end() || !it->is_string() ? "" : it->get<std::string>();
}

std::optional<PluginError> ReadError(const std::string& output) {
  if (!CheckJson(output).ok()) return std::nullopt;
  const json object = json::parse(output, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return std::nullopt;
  const auto code = object.find("code");
  if (code == object.end() || !code->is_number_integer()) return std::nullopt;
  return PluginError{code->get<int64_t>(), TextOf(object, "msg"), TextOf(object, "details")};
}

absl::StatusCode CodeOf(int64_t code) {
  switch (code) {
    case 1:  // incompatible version
    case 2:  // unsupported field in the configuration
    case 3:  // the container is unknown or gone
    case 4:  // invalid environment variable
    case 7:  // invalid configuration
      return absl::StatusCode::kFailedPrecondition;
    case 11:  // try again later
    case 50:  // not ready for ADD
    case 51:  // not ready, and existing containers may be cut off
      return absl::StatusCode::kUnavailable;
    default:  // 5 input or output, 6 decoding, and what plugins number themselves
      return absl::StatusCode::kInternal;
  }
}

std::string Describe(const PluginError& error) {
  std::string text = absl::StrCat("error code ", error.code);
  if (!error.msg.empty()) absl::StrAppend(&text, ": ", Excerpt(error.msg, kMaxQuote));
  if (!error.details.empty()) absl::StrAppend(&text, ": ", Excerpt(error.details, kMaxQuote));
  return text;
}

std::string StandardError(const os::ProgramResult& result) {
  const std::string quote = Excerpt(result.errors, kMaxQuote);
  return quote.empty() ? "" : absl::StrCat("; standard error: ", quote);
}

}  // namespace

absl::Status PluginStatus(const os::ProgramResult& result) {
  const std::string said = StandardError(result);
  switch (result.end) {
    case os::ProgramEnd::kOutOfTime:
      return absl::DeadlineExceededError(absl::StrCat("did not end in time, killed", said));
    case os::ProgramEnd::kTooMuchOutput:
      return absl::InternalError(
          absl::StrCat("printed more than ", result.output.size(), " bytes, killed", said));
    case os::ProgramEnd::kEnded:
      break;
  }
  if (WIFSIGNALED(result.status)) {
    return absl::InternalError(absl::StrCat("killed by signal ", WTERMSIG(result.status), said));
  }
  if (WEXITSTATUS(result.status) == 0) return absl::OkStatus();
  if (const std::optional<PluginError> error = ReadError(result.output); error.has_value()) {
    return absl::Status(CodeOf(error->code), absl::StrCat(Describe(*error), said));
  }
  const std::string printed = Excerpt(result.output, kMaxQuote);
  return absl::InternalError(
      absl::StrCat("exit code ", WEXITSTATUS(result.status), ", and no CNI error object but ",
                   printed.empty() ? "nothing" : absl::StrCat("\"", printed, "\""), said));
}

}  // namespace berth::cni

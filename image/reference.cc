#include "image/reference.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/ids.h"
#include "base/status_macros.h"

namespace berth::image {
namespace {

constexpr size_t kMaxText = 1024;
constexpr size_t kMaxRepository = 255;
constexpr size_t kMaxTag = 128;

absl::Status Bad(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(
      "parse image reference \"", absl::CHexEscape(text.substr(0, kMaxText)), "\": ", why));
}

bool IsLowerAlnum(char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c); }

// One path component: runs of [a-z0-9] joined by ".", "_", "__" or any number of "-".
bool IsPathComponent(absl::string_view text) {
  if (text.empty() || !IsLowerAlnum(text.front()) || !IsLowerAlnum(text.back())) return false;
  for (size_t i = 0; i < text.size();) {
    if (IsLowerAlnum(text[i])) {
      ++i;
      continue;
    }
    const size_t start = i;
    while (i < text.size() && !IsLowerAlnum(text[i])) ++i;
    const absl::string_view separator = text.substr(start, i - start);
    const bool dashes = separator.find_first_not_of('-') == absl::string_view::npos;
    if (!dashes && separator != "." && separator != "_" && separator != "__") return false;
  }
  return true;
}

bool IsHostLabel(absl::string_view text) {
  return !text.empty() && text.front() != '-' && text.back() != '-' &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_isalnum(c) || c == '-'; });
}

bool IsIpv6(absl::string_view text) {
  return absl::ConsumePrefix(&text, "[") && absl::ConsumeSuffix(&text, "]") && !text.empty() &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_isxdigit(c) || c == ':'; });
}

// host[:port] or [IPv6][:port].
bool IsDomain(absl::string_view text) {
  absl::string_view host = text;
  const size_t colon = text.rfind(':');
  if (colon != absl::string_view::npos && !absl::EndsWith(text, "]")) {
    const absl::string_view port = text.substr(colon + 1);
    if (port.empty() || !std::all_of(port.begin(), port.end(), absl::ascii_isdigit)) return false;
    host = text.substr(0, colon);
  }
  if (IsIpv6(host)) return true;
  const std::vector<absl::string_view> labels = absl::StrSplit(host, '.');
  return std::all_of(labels.begin(), labels.end(), IsHostLabel);
}

bool IsTag(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxTag && text.front() != '.' && text.front() != '-' &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-';
         });
}

// The first component is a registry when it cannot be a path component of Docker Hub.
void SplitDomain(absl::string_view name, Reference* out) {
  const size_t slash = name.find('/');
  const absl::string_view first = name.substr(0, slash);
  const bool is_domain =
      slash != absl::string_view::npos &&
      (first.find_first_of(".:[") != absl::string_view::npos || first == "localhost" ||
       std::any_of(first.begin(), first.end(), absl::ascii_isupper));
  out->domain = is_domain ? std::string(first) : "docker.io";
  out->path = std::string(is_domain ? name.substr(slash + 1) : name);
  if (out->domain == "index.docker.io") out->domain = "docker.io";
  if (out->domain == "docker.io" && !absl::StrContains(out->path, "/")) {
    out->path.insert(0, "library/");
  }
}

absl::Status CheckName(absl::string_view text, const Reference& reference) {
  if (!IsDomain(reference.domain)) return Bad(text, "the registry is not host[:port]");
  if (std::any_of(reference.path.begin(), reference.path.end(), absl::ascii_isupper)) {
    return Bad(text, "a repository is lower case");
  }
  for (absl::string_view component : absl::StrSplit(reference.path, '/')) {
    if (!IsPathComponent(component)) return Bad(text, "the repository has a malformed part");
  }
  if (reference.path.size() > kMaxRepository || reference.domain.size() > kMaxRepository) {
    return Bad(text, absl::StrCat("longer than ", kMaxRepository, " characters"));
  }
  return absl::OkStatus();
}

}  // namespace

std::string Reference::Repository() const { return absl::StrCat(domain, "/", path); }

std::string Reference::Canonical() const {
  return digest.empty() ? absl::StrCat(Repository(), ":", tag)
                        : absl::StrCat(Repository(), "@", digest);
}

absl::StatusOr<Reference> ParseReference(absl::string_view text) {
  if (text.empty()) return Bad(text, "empty");
  if (text.size() > kMaxText) return Bad(text, absl::StrCat("longer than ", kMaxText, " bytes"));
  if (IsHexId(text)) return Bad(text, "64 hex digits are an image id, not a name");

  Reference reference;
  absl::string_view name = text;
  if (const size_t at = name.find('@'); at != absl::string_view::npos) {
    absl::StatusOr<Digest> digest = Digest::Parse(name.substr(at + 1));
    if (!digest.ok()) return Bad(text, digest.status().message());
    reference.digest = digest->str();
    name = name.substr(0, at);
  }
  // A colon behind the last slash begins a tag; one before it, a port.
  const size_t slash = name.rfind('/');
  const size_t colon = name.rfind(':');
  if (colon != absl::string_view::npos && (slash == absl::string_view::npos || colon > slash)) {
    reference.tag = std::string(name.substr(colon + 1));
    if (!IsTag(reference.tag)) return Bad(text, "malformed tag");
    name = name.substr(0, colon);
  }
  if (name.empty()) return Bad(text, "no repository");
  SplitDomain(name, &reference);
  RETURN_IF_ERROR(CheckName(text, reference));
  if (reference.tag.empty() && reference.digest.empty()) reference.tag = "latest";
  return reference;
}

}  // namespace berth::image

// What this version does not offer is refused in one form: UNIMPLEMENTED "field: value is not
// offered (why)". Pure functions.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace berth::sandbox {

inline absl::Status NotOffered(absl::string_view field, const absl::AlphaNum& value,
                               absl::string_view why = "") {
  return absl::UnimplementedError(absl::StrCat(
      field, ": ", value, " is not offered", why.empty() ? "" : " (", why, why.empty() ? "" : ")"));
}

inline absl::Status Invalid(absl::string_view field, absl::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", problem));
}

}  // namespace berth::sandbox

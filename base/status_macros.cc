#include "base/status_macros.h"

#include "absl/strings/cord.h"

namespace berth {

absl::Status WithCode(absl::StatusCode code, const absl::Status& status,
                      absl::string_view context) {
  if (status.ok()) return status;
  absl::Status result(code, context.empty() ? std::string(status.message())
                                            : absl::StrCat(context, ": ", status.message()));
  status.ForEachPayload(
      [&](absl::string_view url, const absl::Cord& payload) { result.SetPayload(url, payload); });
  return result;
}

absl::Status Annotate(const absl::Status& status, absl::string_view context) {
  return WithCode(status.code(), status, context);
}

}  // namespace berth

#include "sandbox/user_mappings.h"

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "sandbox/unimplemented.h"

namespace berth::sandbox {
namespace {

constexpr char kField[] = "linux.security_context.namespace_options.userns_options";
// 2^32-1 is "no id".
constexpr uint64_t kIdEnd = UINT32_MAX;

using Mappings = google::protobuf::RepeatedPtrField<cri::IDMapping>;

absl::StatusOr<os::IdMapping> OneMapping(const char* which, const Mappings& mappings) {
  const std::string field = absl::StrCat(kField, ".", which);
  if (mappings.size() != 1) {
    return Invalid(field, absl::StrCat("exactly one mapping is needed, not ", mappings.size()));
  }
  const cri::IDMapping& m = mappings[0];
  if (m.length() == 0) return Invalid(field, "length must not be 0");
  if (m.container_id() != 0) {
    return Invalid(field,
                   absl::StrCat("must map the container's id 0, but begins at ", m.container_id()));
  }
  if (uint64_t{m.host_id()} + m.length() > kIdEnd) {
    return Invalid(field, absl::StrCat("host ids ", m.host_id(), " and the ", m.length() - 1,
                                       " after it go beyond the last id"));
  }
  return os::IdMapping{m.container_id(), m.host_id(), m.length()};
}

}  // namespace

absl::StatusOr<os::UserMappings> ToUserMappings(const cri::NamespaceOption& options) {
  os::UserMappings mappings;
  if (!options.has_userns_options()) return mappings;
  const cri::UserNamespace& asked = options.userns_options();
  if (asked.mode() == cri::NODE) {
    if (asked.uids_size() + asked.gids_size() == 0) return mappings;
    return Invalid(kField, "mode NODE takes no mappings");
  }
  if (asked.mode() != cri::POD) {
    return Invalid(absl::StrCat(kField, ".mode"),
                   absl::StrCat(cri::NamespaceMode_Name(asked.mode()),
                                " is not a mode of a user "
                                "namespace; POD and NODE are"));
  }
  ASSIGN_OR_RETURN(const os::IdMapping uids, OneMapping("uids", asked.uids()));
  ASSIGN_OR_RETURN(const os::IdMapping gids, OneMapping("gids", asked.gids()));
  if (uids.length != gids.length) {
    return Invalid(kField, absl::StrCat("maps ", uids.length, " user ids and ", gids.length,
                                        " group ids; the lengths must be equal"));
  }
  mappings.uids = {uids};
  mappings.gids = {gids};
  return mappings;
}

absl::StatusOr<os::UserMappings> PodUserMappings(const cri::PodSandboxConfig& config) {
  return ToUserMappings(config.linux().security_context().namespace_options());
}

}  // namespace berth::sandbox

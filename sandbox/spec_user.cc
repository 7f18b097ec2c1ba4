#include "sandbox/spec_user.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "sandbox/text_rules.h"
#include "sandbox/unimplemented.h"

namespace berth::sandbox {
namespace {

// What the kernel takes as an id: -1 means "no change" there.
constexpr int64_t kMaxId = 0xfffffffell;

absl::Status CheckId(absl::string_view field, int64_t id) {
  if (id >= 0 && id <= kMaxId) return absl::OkStatus();
  return Invalid(field, absl::StrCat(id, " is not a user or group id"));
}

// The OCI form "user[:group]" of what CRI asks for.
absl::StatusOr<std::string> UserText(const cri::LinuxContainerSecurityContext& security,
                                     const image::ImageConfig& image) {
  const bool by_id = security.has_run_as_user();
  const bool by_name = !security.run_as_username().empty();
  if (by_id && by_name) {
    return Invalid("security_context.run_as_user", "given beside run_as_username");
  }
  if (security.has_run_as_group() && !by_id && !by_name) {
    return Invalid("security_context.run_as_group", "given without run_as_user or run_as_username");
  }
  std::string text = image.user;
  if (by_id) {
    RETURN_IF_ERROR(CheckId("security_context.run_as_user", security.run_as_user().value()));
    text = absl::StrCat(security.run_as_user().value());
  } else if (by_name) {
    text = security.run_as_username();
    if (absl::StrContains(text, ':') || HasControlByte(text)) {
      return Invalid("security_context.run_as_username",
                     absl::StrCat("\"", text, "\" is not a name"));
    }
  }
  if (security.has_run_as_group()) {
    RETURN_IF_ERROR(CheckId("security_context.run_as_group", security.run_as_group().value()));
    absl::StrAppend(&text, ":", security.run_as_group().value());
  }
  return text;
}

void AddGroup(std::vector<gid_t>* groups, gid_t group) {
  if (std::find(groups->begin(), groups->end(), group) == groups->end()) groups->push_back(group);
}

}  // namespace

absl::StatusOr<ContainerUser> ResolveContainerUser(
    const cri::LinuxContainerSecurityContext& security, const image::ImageConfig& image,
    const std::vector<std::string>& lowers, const UserResolver& resolve) {
  ASSIGN_OR_RETURN(const std::string text, UserText(security, image));
  ASSIGN_OR_RETURN(image::ResolvedUser found, resolve(lowers, text));
  ContainerUser result;
  result.home = std::move(found.home);
  result.user.uid = found.uid;
  result.user.gid = found.gid;
  // Without the primary group here, a file that forbids that group would be open to its members'
  // processes (CVE-2023-25173).
  std::vector<gid_t>& groups = result.user.additional_gids;
  AddGroup(&groups, found.gid);
  switch (security.supplemental_groups_policy()) {
    case cri::Merge:
      for (gid_t group : found.groups) AddGroup(&groups, group);
      break;
    case cri::Strict:
      break;
    default:  // proto3 enums are open: another number may arrive
      return NotOffered("security_context.supplemental_groups_policy",
                        static_cast<int>(security.supplemental_groups_policy()));
  }
  for (int64_t group : security.supplemental_groups()) {
    RETURN_IF_ERROR(CheckId("security_context.supplemental_groups", group));
    AddGroup(&groups, static_cast<gid_t>(group));
  }
  return result;
}

}  // namespace berth::sandbox

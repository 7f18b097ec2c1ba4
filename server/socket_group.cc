#include "server/socket_group.h"

#include <grp.h>

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace berth::server {

absl::StatusOr<gid_t> ResolveGroup(const std::string& name) {
  if (name.empty()) return gid_t{0};
  gid_t number = 0;
  if (absl::SimpleAtoi(name, &number) && number != static_cast<gid_t>(-1)) return number;
  std::vector<char> buffer(64 << 10);
  group entry{};
  group* found = nullptr;
  (void)getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);  // null: not found
  if (found == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("server.cri_socket_group: there is no group \"", name, "\""));
  }
  return found->gr_gid;
}

}  // namespace berth::server

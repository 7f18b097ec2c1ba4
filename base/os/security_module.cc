#include "base/os/security_module.h"

#include <fcntl.h>
#include <unistd.h>

#include <string>

#include "absl/strings/match.h"
#include "base/os/file.h"

namespace berth::os {

bool AppArmorIsOn() {
  // The file is there wherever AppArmor was compiled in; a module that is off answers EINVAL.
  const absl::StatusOr<UniqueFd> current = Open("/proc/self/attr/apparmor/current", O_RDONLY);
  char byte;
  return current.ok() && read(current->get(), &byte, 1) > 0;
}

bool SelinuxIsOn() {
  // Registered by SELinux when it starts, and not at all when it was disabled at boot.
  const absl::StatusOr<std::string> types = ReadFile("/proc/filesystems", 64 << 10);
  return types.ok() && absl::StrContains(*types, "selinuxfs");
}

}  // namespace berth::os

// The v1 device list. A group allows all but its exceptions or denies all but its exceptions; "a"
// says which, and empties the list. Any other rule of that kind takes its accesses out of the
// exception of the same numbers, and does nothing where there is none (kernel
// security/device_cgroup.c, Documentation/admin-guide/cgroup-v1/devices.rst).
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/os/cgroup_internal.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::os::cgroup_internal {
namespace {

using Rule = CgroupLimits::DeviceRule;

int64_t NumberOf(const std::optional<int64_t>& number) {
  return std::max<int64_t>(number.value_or(-1), -1);
}

bool Meets(int64_t a, int64_t b) { return a < 0 || b < 0 || a == b; }

// The exceptions that the kernel holds after the rules so far.
class Exceptions {
 public:
  // FailedPrecondition when the rule would not do what it says.
  absl::Status Add(const Rule& rule) {
    if (IsForAll(rule)) {
      allows_ = rule.allow;
      list_.clear();
      return absl::OkStatus();
    }
    if (rule.allow != allows_) {
      list_.push_back(rule);
      return absl::OkStatus();
    }
    for (Rule& other : list_) {
      if (!Overlap(other, rule)) continue;
      if (NumberOf(other.major) != NumberOf(rule.major) ||
          NumberOf(other.minor) != NumberOf(rule.minor)) {
        return absl::FailedPreconditionError(
            "cgroup v1 takes an earlier rule back only with the same numbers");
      }
      for (const char c : rule.access) {
        other.access.erase(std::remove(other.access.begin(), other.access.end(), c),
                           other.access.end());
      }
    }
    return absl::OkStatus();
  }

 private:
  static bool Overlap(const Rule& a, const Rule& b) {
    return a.type == b.type && Meets(NumberOf(a.major), NumberOf(b.major)) &&
           Meets(NumberOf(a.minor), NumberOf(b.minor)) &&
           a.access.find_first_of(b.access) != std::string::npos;
  }

  bool allows_ = true;  // as the root of the hierarchy
  std::vector<Rule> list_;
};

std::string TextOf(const Rule& rule) {
  if (IsForAll(rule)) return "a";
  const auto number = [](const std::optional<int64_t>& n) {
    return NumberOf(n) < 0 ? std::string("*") : absl::StrCat(*n);
  };
  return absl::StrCat(std::string(1, rule.type), " ", number(rule.major), ":", number(rule.minor),
                      " ", rule.access);
}

}  // namespace

absl::Status CheckDeviceRule(const Rule& rule) {
  if (rule.access.empty() || rule.access.find_first_not_of("rwm") != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("device rule: access \"", rule.access, "\" is not made of r, w and m"));
  }
  if (rule.type != 'a' && rule.type != 'b' && rule.type != 'c') {
    return absl::InvalidArgumentError(
        absl::StrCat("device rule: type \"", std::string(1, rule.type), "\" is none of a, b, c"));
  }
  return absl::OkStatus();
}

bool IsForAll(const Rule& rule) {
  const auto has = [&](char c) { return rule.access.find(c) != std::string::npos; };
  return rule.type == 'a' && NumberOf(rule.major) < 0 && NumberOf(rule.minor) < 0 && has('r') &&
         has('w') && has('m');
}

absl::StatusOr<std::vector<DeviceWrite>> DeviceWritesV1(const std::vector<Rule>& rules) {
  std::vector<DeviceWrite> writes;
  Exceptions exceptions;
  for (size_t i = 0; i < rules.size(); ++i) {
    RETURN_IF_ERROR(CheckDeviceRule(rules[i]));
    std::vector<Rule> parts = {rules[i]};
    // The kernel takes "a" for everything, whatever follows: a part of it is one of each type.
    if (rules[i].type == 'a' && !IsForAll(rules[i])) {
      parts.push_back(rules[i]);
      parts[0].type = 'b';
      parts[1].type = 'c';
    }
    for (const Rule& part : parts) {
      RETURN_IF_ERROR_CTX(exceptions.Add(part), absl::StrCat("linux.resources.devices[", i, "]"));
      writes.push_back({part.allow, TextOf(part)});
    }
  }
  return writes;
}

absl::Status LimitDevicesV1(const std::string& dir, const std::vector<Rule>& rules) {
  ASSIGN_OR_RETURN(const std::vector<DeviceWrite> writes, DeviceWritesV1(rules));
  ASSIGN_OR_RETURN(const UniqueFd allow, Open(absl::StrCat(dir, "/devices.allow"), O_WRONLY));
  ASSIGN_OR_RETURN(const UniqueFd deny, Open(absl::StrCat(dir, "/devices.deny"), O_WRONLY));
  for (const DeviceWrite& one : writes) {
    const int fd = one.allow ? allow.get() : deny.get();
    if (write(fd, one.text.data(), one.text.size()) != static_cast<ssize_t>(one.text.size())) {
      return ErrnoStatus(errno, absl::StrCat("write \"", one.text, "\" to ", dir,
                                             one.allow ? "/devices.allow" : "/devices.deny"));
    }
  }
  return absl::OkStatus();
}

}  // namespace berth::os::cgroup_internal

// The walls around the process that parses hostile bytes: capabilities, no_new_privs, resource
// limits, Landlock, seccomp. Call once, before the first byte is read and the first thread is made.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "image/worker/limits.h"
#include "image_worker.pb.h"

namespace berth::worker {

// A sanitizer's runtime counts its shadow memory as data and makes system calls of its own.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#elif defined(__has_feature)
inline constexpr bool kSanitized =
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
inline constexpr bool kSanitized = false;
#endif

// Afterwards files can be touched only below `staging_fd` and through fds that are open already. An
// error names the step; the process is then half confined and must end. A kernel without Landlock
// is no error: the result says so.
absl::StatusOr<Confinement> Confine(int staging_fd, const Limits& limits);

// The fetching process of a pull: network, but no capability, and below `readable` (files or
// directories; absent ones do not matter) files can be read; nothing can be written.
absl::Status ConfineFetcher(const std::vector<std::string>& readable);

// The last wall, in seccomp_filter.cc: an allow-list of system calls, EPERM for the rest.
enum class Role { kUnpack, kFetch };
absl::Status InstallSeccompFilter(Role role);

}  // namespace berth::worker

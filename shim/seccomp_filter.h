// SeccompFilter: a compiled profile as the create stage takes it. Made by shim/seccomp/filter.h.
// A value; thread-safe.
#pragma once

#include <cstdint>
#include <string>

namespace berth::shim {

struct SeccompFilter {
  std::string program;  // ready sock_filter bytes; "" = unconfined
  uint32_t flags = 0;   // SECCOMP_FILTER_FLAG_*
  // With SECCOMP_FILTER_FLAG_NEW_LISTENER: the absolute path of the agent's socket, and what it is
  // told besides (config-linux.md, "listenerPath").
  std::string listener_path;
  std::string listener_metadata;
};

}  // namespace berth::shim

// What Version and Status answer. Pure functions over facts gathered at start; thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cri.pb.h"
#include "sandbox/runtime.h"

namespace berth::server {

// About this daemon and host; fixed for the life of the process.
struct RuntimeFacts {
  std::string data_dir;
  std::string run_dir;
  std::string data_dir_id;
  std::string import_dir;
  std::string default_handler;
  std::string cgroup_root;
  std::string cgroup_layout;                    // "v1", "hybrid", "v2"
  std::vector<std::string> cgroup_controllers;  // that limit anything here
  std::string kernel_release;
  std::string shim_source;  // "sealed memfd" or "detached mount"
  int64_t start_wall_nanos = 0;
};

void FillVersion(::runtime::v1::VersionResponse* reply);
void FillStatus(const RuntimeFacts& facts, bool verbose, const sandbox::Runtime& runtime,
                ::runtime::v1::StatusResponse* reply);

}  // namespace berth::server

// Config: everything an operator can set, typed, with units in the names. Filled once in main from
// the file, its drop-ins and the flags (config_load.h), then passed on as const references.
// A plain value: thread-safe while nobody writes.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/log.h"

namespace berth::server {

enum class LogFormat { kText, kJson };

struct LogConfig {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kText;
};

struct ServerConfig {
  std::string cri_socket;        // "" = <run_dir>/berth.sock
  std::string cri_socket_group;  // "" = root's; a name or a number
  std::string admin_socket;      // "" = <run_dir>/admin.sock
  int64_t lifecycle_threads = 32;
  int64_t lifecycle_queue_calls = 1024;
  int64_t waiting_calls_max = 1100;
  absl::Duration slow_call = absl::Seconds(10);
  absl::Duration shutdown_grace = absl::Seconds(2);
};

struct ImageServiceConfig {
  std::string import_dir;  // "" = <data_dir>/import
  std::string worker_path = "/usr/libexec/berth/berth-image";
  int64_t layer_limit_bytes = 32ll << 30;
  int64_t archive_limit_bytes = 64ll << 30;
  absl::Duration import_timeout = absl::Minutes(30);
  std::string registry_hosts_dir = "/etc/berth/certs.d";  // "" = none is read
  int64_t pull_parallel_layers = 3;
  int64_t pull_max_concurrent = 8;
  absl::Duration pull_no_progress_timeout = absl::Minutes(5);
};

struct NetworkConfig {
  std::string conf_dir = "/etc/cni/net.d";
  std::string bin_dirs = "/opt/cni/bin:/usr/lib/cni";  // as PATH is written
  std::string netns_dir = "/run/netns";
  absl::Duration plugin_timeout = absl::Minutes(2);

  std::vector<std::string> BinDirs() const;
};

struct RuntimeServiceConfig {
  std::string cgroup_root = "/berth";
  std::string shim_path = "/usr/libexec/berth/berth-shim";
  std::string default_handler = "berth";
  int64_t shm_bytes = 64ll << 20;
  bool volatile_overlays = true;
  absl::Duration create_timeout = absl::Seconds(60);
  absl::Duration kill_timeout = absl::Seconds(30);
  int64_t oom_score_adj = -999;
};

// 0: no limit.
struct ContainerLogConfig {
  int64_t max_bytes = 0;
  int64_t rate_bytes_per_second = 0;
  int64_t burst_bytes = 1ll << 20;
};

struct Config {
  std::string data_dir = "/var/lib/berth";
  std::string run_dir = "/run/berth";
  LogConfig log;
  ServerConfig server;
  ImageServiceConfig image;
  RuntimeServiceConfig runtime;
  NetworkConfig network;
  ContainerLogConfig container_log;
  std::string failpoints;  // only in builds with failpoints

  // Where each key that is not at its default was set: "server.cri_socket" -> "file:line:column".
  std::map<std::string, std::string> origins;

  std::string CriSocket() const;
  std::string AdminSocket() const;
  std::string ImportDir() const;
};

// What no single key can show to be wrong: paths that must differ, socket paths too long for the
// kernel. InvalidArgument names the keys.
absl::Status Validate(const Config& config);

// The whole configuration as TOML, each key with its origin. Parses back to the same Config.
std::string Print(const Config& config);

}  // namespace berth::server

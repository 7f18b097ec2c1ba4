#include "shim/front/default_spec.h"

#include <nlohmann/json.hpp>

namespace berth::shim::front {
namespace {

using Json = nlohmann::ordered_json;

Json Mount(const char* destination, const char* type, std::initializer_list<const char*> options) {
  Json out = {{"destination", destination}, {"type", type}, {"source", type}};
  for (const char* option : options) out["options"].push_back(option);
  return out;
}

Json Process() {
  const Json capabilities = {"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"};
  return {
      {"terminal", true},
      {"user", {{"uid", 0}, {"gid", 0}}},
      {"args", {"sh"}},
      {"env", {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"}},
      {"cwd", "/"},
      {"capabilities",
       {{"bounding", capabilities}, {"effective", capabilities}, {"permitted", capabilities}}},
      {"rlimits", {{{"type", "RLIMIT_NOFILE"}, {"hard", 1024}, {"soft", 1024}}}},
      {"noNewPrivileges", true}};
}

Json Mounts() {
  return {Mount("/proc", "proc", {"nosuid", "noexec", "nodev"}),
          Mount("/dev", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
          Mount("/dev/pts", "devpts",
                {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
          Mount("/dev/shm", "tmpfs", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}),
          Mount("/dev/mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
          Mount("/sys", "sysfs", {"nosuid", "noexec", "nodev", "ro"}),
          Mount("/sys/fs/cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", "ro"})};
}

Json Namespaces() {
  Json out = Json::array();
  for (const char* type : {"pid", "network", "ipc", "uts", "mount", "cgroup"}) {
    out.push_back({{"type", type}});
  }
  return out;
}

}  // namespace

std::string DefaultSpec() {
  const Json spec = {
      {"ociVersion", "1.2.0"},
      {"process", Process()},
      {"root", {{"path", "rootfs"}, {"readonly", true}}},
      {"hostname", "berth"},
      {"mounts", Mounts()},
      {"linux",
       {{"resources", {{"devices", {{{"allow", false}, {"access", "rwm"}}}}}},
        {"namespaces", Namespaces()},
        {"maskedPaths",
         {"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
          "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
          "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"}},
        {"readonlyPaths",
         {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}}}}};
  return spec.dump(2) + "\n";
}

}  // namespace berth::shim::front

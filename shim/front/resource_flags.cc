#include "shim/front/resource_flags.h"

#include <unistd.h>

#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "shim/oci/spec.h"

namespace berth::shim::front {
namespace {

constexpr size_t kMaxFile = 1 << 20;

absl::Status ReadResources(const std::string& path, os::CgroupLimits* out) {
  if (path.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN_CTX(
      const std::string text,
      path == "-" ? os::ReadAll(STDIN_FILENO, kMaxFile) : os::ReadFile(path, kMaxFile),
      "--resources");
  ASSIGN_OR_RETURN_CTX(*out, oci::ParseResources(text), "--resources");
  return absl::OkStatus();
}

// Bytes: "1024", "512k", "64M", "2g"; -1 is no limit.
absl::StatusOr<int64_t> Bytes(absl::string_view text) {
  int shift = 0;
  if (!text.empty()) {
    const size_t unit = absl::string_view("kmgt").find(
        absl::ascii_tolower(static_cast<unsigned char>(text.back())));
    if (unit != absl::string_view::npos) {
      shift = static_cast<int>(unit + 1) * 10;
      text.remove_suffix(1);
    }
  }
  int64_t value = 0;
  if (!absl::SimpleAtoi(text, &value) || value < -1 ||
      (value > 0 && value > (INT64_MAX >> shift))) {
    return absl::InvalidArgumentError("no number of bytes");
  }
  return value < 0 ? value : value << shift;
}

absl::Status TakeBytes(const Arguments& arguments, const char* name, std::optional<int64_t>* out) {
  if (!arguments.Has(name)) return absl::OkStatus();
  ASSIGN_OR_RETURN_CTX(*out, Bytes(arguments.Text(name)), absl::StrCat("--", name));
  return absl::OkStatus();
}

template <typename Int>
absl::Status TakeNumber(const Arguments& arguments, const char* name, std::optional<Int>* out) {
  ASSIGN_OR_RETURN(const std::optional<int64_t> value, arguments.Number(name));
  if (value.has_value()) *out = static_cast<Int>(*value);
  return absl::OkStatus();
}

absl::Status TakeCpu(const Arguments& arguments, os::CgroupLimits* out) {
  RETURN_IF_ERROR(TakeNumber(arguments, "cpu-period", &out->cpu_period_us));
  RETURN_IF_ERROR(TakeNumber(arguments, "cpu-quota", &out->cpu_quota_us));
  RETURN_IF_ERROR(TakeNumber(arguments, "cpu-burst", &out->cpu_burst_us));
  RETURN_IF_ERROR(TakeNumber(arguments, "cpu-share", &out->cpu_shares));
  RETURN_IF_ERROR(TakeNumber(arguments, "cpu-rt-period", &out->cpu_rt_period_us));
  RETURN_IF_ERROR(TakeNumber(arguments, "cpu-rt-runtime", &out->cpu_rt_runtime_us));
  RETURN_IF_ERROR(TakeNumber(arguments, "cpu-idle", &out->cpu_idle));
  out->cpuset_cpus = arguments.Text("cpuset-cpus", out->cpuset_cpus);
  out->cpuset_mems = arguments.Text("cpuset-mems", out->cpuset_mems);
  return absl::OkStatus();
}

absl::Status TakeMemory(const Arguments& arguments, os::CgroupLimits* out) {
  RETURN_IF_ERROR(TakeBytes(arguments, "memory", &out->memory_bytes));
  RETURN_IF_ERROR(TakeBytes(arguments, "memory-swap", &out->memory_swap_bytes));
  RETURN_IF_ERROR(TakeBytes(arguments, "memory-reservation", &out->memory_reservation_bytes));
  RETURN_IF_ERROR(TakeBytes(arguments, "kernel-memory-tcp", &out->memory_kernel_tcp_bytes));
  RETURN_IF_ERROR(TakeNumber(arguments, "pids-limit", &out->pids_max));
  ASSIGN_OR_RETURN(const std::optional<int64_t> weight, arguments.Number("blkio-weight"));
  if (weight.value_or(0) < 0 || weight.value_or(0) > 1000) {
    return absl::InvalidArgumentError(absl::StrCat("--blkio-weight: out of range: ", *weight));
  }
  if (weight.has_value()) out->block_io.weight = static_cast<uint16_t>(*weight);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<UpdateFlags> ParseUpdateFlags(const Words& words) {
  ASSIGN_OR_RETURN(const Arguments arguments, Arguments::Parse(words, {{"resources", 'r'},
                                                                       {"blkio-weight"},
                                                                       {"cpu-period"},
                                                                       {"cpu-quota"},
                                                                       {"cpu-burst"},
                                                                       {"cpu-share"},
                                                                       {"cpu-rt-period"},
                                                                       {"cpu-rt-runtime"},
                                                                       {"cpu-idle"},
                                                                       {"cpuset-cpus"},
                                                                       {"cpuset-mems"},
                                                                       {"kernel-memory"},
                                                                       {"kernel-memory-tcp"},
                                                                       {"memory"},
                                                                       {"memory-reservation"},
                                                                       {"memory-swap"},
                                                                       {"pids-limit"},
                                                                       {"l3-cache-schema"},
                                                                       {"mem-bw-schema"}}));
  RETURN_IF_ERROR(arguments.Expect(1, 1));
  for (const char* name : {"l3-cache-schema", "mem-bw-schema"}) {
    if (arguments.Has(name)) return absl::UnimplementedError(absl::StrCat("--", name, ": no RDT"));
  }
  UpdateFlags flags;
  flags.id = arguments.words()[0];
  RETURN_IF_ERROR(ReadResources(arguments.Text("resources"), &flags.limits));
  RETURN_IF_ERROR(TakeCpu(arguments, &flags.limits));
  RETURN_IF_ERROR(TakeMemory(arguments, &flags.limits));
  return flags;
}

}  // namespace berth::shim::front

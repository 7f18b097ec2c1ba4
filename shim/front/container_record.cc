#include "shim/front/container_record.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace berth::shim::front {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kVersion = 1;

std::string Dump(const Json& value, int indent = -1) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

Json ToValue(const ProcessName& process) {
  return {{"pid", process.pid}, {"startTime", process.start_time}};
}

// Absent and of another type: false.
template <typename T>
bool Take(const Json& in, const char* key, T* out) {
  const auto found = in.find(key);
  if (found == in.end()) return false;
  if constexpr (std::is_same_v<T, std::string>) {
    if (!found->is_string()) return false;
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!found->is_boolean()) return false;
  } else {
    if (!found->is_number_integer()) return false;
  }
  *out = found->get<T>();
  return true;
}

bool Take(const Json& in, const char* key, ProcessName* out) {
  const auto found = in.find(key);
  return found != in.end() && found->is_object() && Take(*found, "pid", &out->pid) &&
         Take(*found, "startTime", &out->start_time);
}

bool TakeAnnotations(const Json& in, std::map<std::string, std::string>* out) {
  const auto found = in.find("annotations");
  if (found == in.end() || !found->is_object()) return false;
  for (const auto& [key, value] : found->items()) {
    if (!value.is_string()) return false;
    (*out)[key] = value.get<std::string>();
  }
  return true;
}

Json StateValue(const ContainerRecord& record, Status status, pid_t pid) {
  Json out = {{"ociVersion", record.oci_version},
              {"id", record.id},
              {"pid", pid},
              {"status", StatusName(status)},
              {"bundle", record.bundle}};
  if (!record.annotations.empty()) out["annotations"] = record.annotations;
  return out;
}

}  // namespace

std::string ToJson(const ContainerRecord& record) {
  const Json out = {{"version", kVersion},
                    {"id", record.id},
                    {"ociVersion", record.oci_version},
                    {"bundle", record.bundle},
                    {"rootfs", record.rootfs},
                    {"bootId", record.boot_id},
                    {"stage", record.stage == Stage::kCreated ? "created" : "creating"},
                    {"creator", ToValue(record.creator)},
                    {"process", ToValue(record.process)},
                    {"cgroup", record.cgroup},
                    {"cgroupMade", record.cgroup_made},
                    {"hasPidNamespace", record.has_pid_namespace},
                    {"created", record.created},
                    {"annotations", record.annotations}};
  return Dump(out);
}

absl::StatusOr<ContainerRecord> ParseContainerRecord(absl::string_view json) {
  const Json in = Json::parse(json.begin(), json.end(), nullptr, /*allow_exceptions=*/false);
  if (!in.is_object()) return absl::DataLossError("not a JSON object");
  int version = 0;
  if (!Take(in, "version", &version) || version != kVersion) {
    return absl::DataLossError(absl::StrCat("unknown version: ", version));
  }
  ContainerRecord record;
  std::string stage;
  const bool whole =
      Take(in, "id", &record.id) && Take(in, "ociVersion", &record.oci_version) &&
      Take(in, "bundle", &record.bundle) && Take(in, "rootfs", &record.rootfs) &&
      Take(in, "bootId", &record.boot_id) && Take(in, "stage", &stage) &&
      Take(in, "creator", &record.creator) && Take(in, "process", &record.process) &&
      Take(in, "cgroup", &record.cgroup) && Take(in, "cgroupMade", &record.cgroup_made) &&
      Take(in, "hasPidNamespace", &record.has_pid_namespace) &&
      Take(in, "created", &record.created) && TakeAnnotations(in, &record.annotations);
  if (!whole || (stage != "created" && stage != "creating")) {
    return absl::DataLossError("a field is missing or of another type");
  }
  record.stage = stage == "created" ? Stage::kCreated : Stage::kCreating;
  return record;
}

const char* StatusName(Status status) {
  switch (status) {
    case Status::kCreating:
      return "creating";
    case Status::kCreated:
      return "created";
    case Status::kRunning:
      return "running";
    case Status::kPaused:
      return "paused";
    case Status::kStopped:
      return "stopped";
  }
  return "";
}

std::string StateText::With(pid_t pid) const { return absl::StrCat(head, pid, tail); }

StateText OciState(const ContainerRecord& record, Status status) {
  // The first place where a member begins with "pid": a quote inside a text is escaped.
  const std::string text = Dump(StateValue(record, status, 0));
  const std::string mark = "\"pid\":";
  const size_t at = text.find(mark) + mark.size();
  return {text.substr(0, at), text.substr(at + 1)};
}

std::string FullState(const ContainerRecord& record, Status status) {
  Json out = StateValue(record, status, status == Status::kStopped ? 0 : record.process.pid);
  out["rootfs"] = record.rootfs;
  out["created"] = record.created;
  out["owner"] = "";
  return Dump(out, 2);
}

}  // namespace berth::shim::front

// The sections of a Spec, each read and written by its own file. Private to berth_shim_oci; the
// paths of errors begin where the reader stands. Stateless; thread-safe.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "shim/oci/json_reader.h"
#include "shim/oci/spec.h"

namespace berth::shim::oci {

void ReadProcess(const JsonReader& in, Process* out);             // spec_process.cc
void ReadLinux(const JsonReader& in, Linux* out);                 // spec_linux.cc
void ReadMappings(const JsonReader& in, os::UserMappings* out);   // spec_linux.cc
void ReadResources(const JsonReader& in, os::CgroupLimits* out);  // spec_resources.cc

// True for "0-3,7" as the kernel prints and reads lists of CPUs and memory nodes.
bool IsNumberList(absl::string_view text);

// *latin1: see spec_to_json.cc.
nlohmann::json ProcessToJson(const Process& process, std::string* latin1);  // process_to_json.cc
nlohmann::json LinuxToJson(const Linux& in);                                // linux_to_json.cc
nlohmann::json ResourcesToJson(const os::CgroupLimits& limits);             // resources_to_json.cc
void PutMappings(const os::UserMappings& mappings, nlohmann::json* out);    // linux_to_json.cc

}  // namespace berth::shim::oci

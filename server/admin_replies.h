// What the admin API answers. Thread-safe: no state.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "berth_admin.pb.h"
#include "server/admin_service.h"

namespace berth::server {

void FillState(const AdminParts& parts, ::berth::admin::v1::StateResponse* reply);
void FillChecks(const os::CgroupHost& cgroups, ::berth::admin::v1::CheckResponse* reply);
std::string MetricsText(const AdminParts& parts);
absl::Status SetFailpoints(const ::berth::admin::v1::FailpointsRequest& request,
                           ::berth::admin::v1::FailpointsResponse* reply);

}  // namespace berth::server

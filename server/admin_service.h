// The admin service over its domains (proto/berth_admin.proto). Thread-safe.
#pragma once

#include <grpcpp/impl/codegen/service_type.h>

#include <memory>

#include "base/os/cgroup.h"
#include "image/image_store.h"
#include "sandbox/runtime.h"
#include "server/config.h"
#include "server/edge.h"
#include "server/runtime_status.h"

namespace berth::server {

// Borrowed: all outlive the service.
struct AdminParts {
  Edge* edge;
  Metrics* metrics;
  sandbox::Runtime* runtime;
  image::ImageStore* images;
  const os::CgroupHost* cgroups;
  const Config* config;
  const RuntimeFacts* facts;
};
std::unique_ptr<grpc::Service> MakeAdminService(const AdminParts& parts);

}  // namespace berth::server

// The two CRI services over their domains. Thin: each RPC is a line that names its lane.
// Thread-safe.
#pragma once

#include <grpcpp/impl/codegen/service_type.h>

#include <memory>

#include "image/image_store.h"
#include "sandbox/runtime.h"
#include "server/edge.h"
#include "server/runtime_status.h"

namespace berth::server {

// Borrowed: all pointers outlive the services.
std::unique_ptr<grpc::Service> MakeRuntimeService(Edge* edge, sandbox::Runtime* runtime,
                                                  const RuntimeFacts* facts);
std::unique_ptr<grpc::Service> MakeImageService(Edge* edge, image::ImageStore* images,
                                                const RuntimeFacts* facts);

}  // namespace berth::server

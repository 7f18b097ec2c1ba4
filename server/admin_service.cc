#include "server/admin_service.h"

#include "berth_admin.grpc.pb.h"
#include "server/admin_replies.h"
#include "server/import_reactor.h"

namespace berth::server {
namespace {

namespace admin = ::berth::admin::v1;
using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;

class AdminService final : public admin::Admin::CallbackService {
 public:
  explicit AdminService(const AdminParts& parts) : parts_(parts) {}

  grpc::ServerReadReactor<admin::ImportImageRequest>* ImportImage(
      CallbackServerContext*, admin::ImportImageResponse* r) override {
    return new ImportReactor(parts_.edge, parts_.images, parts_.config->data_dir,
                             static_cast<uint64_t>(parts_.config->image.archive_limit_bytes), r);
  }
  ServerUnaryReactor* State(CallbackServerContext* context, const admin::StateRequest* q,
                            admin::StateResponse* r) override {
    return parts_.edge->Unary(context, "State", Lane::kWaiting, q, r,
                              [this](const auto&, auto* reply) {
                                FillState(parts_, reply);
                                return absl::OkStatus();
                              });
  }
  // Host probes open files and may load modules.
  ServerUnaryReactor* Check(CallbackServerContext* context, const admin::CheckRequest* q,
                            admin::CheckResponse* r) override {
    return parts_.edge->Unary(context, "Check", Lane::kWaiting, q, r,
                              [this](const auto&, auto* reply) {
                                FillChecks(*parts_.cgroups, reply);
                                return absl::OkStatus();
                              });
  }
  ServerUnaryReactor* Metrics(CallbackServerContext* context, const admin::MetricsRequest* q,
                              admin::MetricsResponse* r) override {
    return parts_.edge->Unary(context, "Metrics", Lane::kWaiting, q, r,
                              [this](const auto&, auto* reply) {
                                reply->set_text(MetricsText(parts_));
                                return absl::OkStatus();
                              });
  }
  ServerUnaryReactor* Failpoints(CallbackServerContext* context, const admin::FailpointsRequest* q,
                                 admin::FailpointsResponse* r) override {
    return parts_.edge->Unary(
        context, "Failpoints", Lane::kInline, q, r,
        [](const auto& request, auto* reply) { return SetFailpoints(request, reply); });
  }

 private:
  const AdminParts parts_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeAdminService(const AdminParts& parts) {
  return std::make_unique<AdminService>(parts);
}

}  // namespace berth::server

#include "cri.grpc.pb.h"
#include "server/cri_services.h"
#include "server/image_messages.h"

namespace berth::server {
namespace {

namespace cri = ::runtime::v1;
using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;

class ImageService final : public cri::ImageService::CallbackService {
 public:
  ImageService(Edge* edge, image::ImageStore* images, const RuntimeFacts* facts)
      : edge_(edge), images_(images), facts_(facts) {}

  ServerUnaryReactor* ListImages(CallbackServerContext* context, const cri::ListImagesRequest* q,
                                 cri::ListImagesResponse* r) override {
    return edge_->Unary(context, "ListImages", Lane::kInline, q, r,
                        [this](const auto& request, auto* reply) {
                          FillImageList(*images_, request, reply);
                          return absl::OkStatus();
                        });
  }
  ServerUnaryReactor* ImageStatus(CallbackServerContext* context, const cri::ImageStatusRequest* q,
                                  cri::ImageStatusResponse* r) override {
    return edge_->Unary(context, "ImageStatus", Lane::kInline, q, r,
                        [this](const auto& request, auto* reply) {
                          return FillImageStatus(*images_, request, reply);
                        });
  }
  ServerUnaryReactor* RemoveImage(CallbackServerContext* context, const cri::RemoveImageRequest* q,
                                  cri::RemoveImageResponse* r) override {
    return edge_->Unary(
        context, "RemoveImage", Lane::kLifecycle, q, r,
        [this](const auto& request, auto*) { return RemoveImageByName(images_, request); });
  }
  // On a thread of its own: what it measures is on disk.
  ServerUnaryReactor* ImageFsInfo(CallbackServerContext* context, const cri::ImageFsInfoRequest* q,
                                  cri::ImageFsInfoResponse* r) override {
    return edge_->Unary(context, "ImageFsInfo", Lane::kWaiting, q, r,
                        [this](const auto&, auto* reply) { return FillFsInfo(*images_, reply); });
  }
  ServerUnaryReactor* PullImage(CallbackServerContext* context, const cri::PullImageRequest* q,
                                cri::PullImageResponse* r) override {
    return edge_->Unary(context, "PullImage", Lane::kWaiting, q, r,
                        [this](const auto& request, auto* reply, const Cancel& cancel) {
                          return PullImageByName(images_, facts_->default_handler, request, cancel,
                                                 reply);
                        });
  }
  grpc::ServerWriteReactor<cri::StreamImagesResponse>* StreamImages(
      CallbackServerContext*, const cri::StreamImagesRequest*) override {
    return edge_->RefuseStream<cri::StreamImagesResponse>("StreamImages");
  }

 private:
  Edge* const edge_;
  image::ImageStore* const images_;
  const RuntimeFacts* const facts_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeImageService(Edge* edge, image::ImageStore* images,
                                                const RuntimeFacts* facts) {
  return std::make_unique<ImageService>(edge, images, facts);
}

}  // namespace berth::server

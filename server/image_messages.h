// Images as CRI messages, and the image verbs that are one step each. Thread-safe: no state.
#pragma once

#include "absl/status/status.h"
#include "cri.pb.h"
#include "image/image_store.h"

namespace berth::server {

namespace cri = ::runtime::v1;

cri::Image ToCri(const image::Image& image);

void FillImageList(const image::ImageStore& images, const cri::ListImagesRequest& request,
                   cri::ListImagesResponse* reply);
// An image that is not here is an empty reply, not an error.
absl::Status FillImageStatus(const image::ImageStore& images,
                             const cri::ImageStatusRequest& request,
                             cri::ImageStatusResponse* reply);
absl::Status RemoveImageByName(image::ImageStore* images, const cri::RemoveImageRequest& request);
absl::Status FillFsInfo(const image::ImageStore& images, cri::ImageFsInfoResponse* reply);

}  // namespace berth::server

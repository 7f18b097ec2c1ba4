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
// InvalidArgument: no image, or a runtime handler that there is not ("" and `default_handler` are).
// What says that no registry answered has code Unknown and begins with the CRI's word for it:
// kubelet looks for the word at the very beginning, and only of that code.
absl::Status PullImageByName(image::ImageStore* images, const std::string& default_handler,
                             const cri::PullImageRequest& request, const Cancel& cancel,
                             cri::PullImageResponse* reply);
absl::Status RemoveImageByName(image::ImageStore* images, const cri::RemoveImageRequest& request);
absl::Status FillFsInfo(const image::ImageStore& images, cri::ImageFsInfoResponse* reply);

}  // namespace berth::server

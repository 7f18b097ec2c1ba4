// ImportReactor: receives an archive chunk by chunk and imports it. Nothing that touches the disk
// runs on gRPC's threads: each chunk is written, and the import done, on the waiting lane.
//
//   gRPC thread   StartRead ──► OnReadDone ──────────────┐        OnReadDone(false): all is here
//   waiting lane                  Append, StartRead ◄────┘──┐       Import, Finish ◄──┘
//
// At most one of them is under way at a time. Deletes itself when gRPC is done with it.
#pragma once

#include <memory>
#include <string>

#include "berth_admin.grpc.pb.h"
#include "image/image_store.h"
#include "server/edge.h"
#include "server/import_archive.h"

namespace berth::server {

class ImportReactor final : public grpc::ServerReadReactor<::berth::admin::v1::ImportImageRequest> {
 public:
  ImportReactor(Edge* edge, image::ImageStore* images, const std::string& data_dir,
                uint64_t limit_bytes, ::berth::admin::v1::ImportImageResponse* reply);

  void OnReadDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override { delete this; }

 private:
  // What outlives the client's patience: an import that has begun is finished.
  struct Work;
  void Append(Work* work);
  static absl::Status BeginImport(Work* work);
  static void Import(Work* work);
  static void Complete(Work* work, const absl::Status& status);

  const std::shared_ptr<Work> work_;
};

}  // namespace berth::server

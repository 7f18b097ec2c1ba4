// A registry on the loopback interface that serves what a test put into it and lies as the test
// says, and a pusher of the same content to a real one. Thread-safe once started.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "base/mutex.h"
#include "base/os/unique_fd.h"
#include "image/worker/testing/archive_writer.h"

namespace berth::worker::testing {

// What a registry holds of one repository.
struct Content {
  std::map<std::string, std::string> blobs;  // by digest
  struct Document {
    std::string type;
    std::string bytes;
  };
  std::map<std::string, Document> manifests;  // by tag and by digest

  // Config, layers and manifest of one image; gives the manifest's descriptor.
  std::string AddImage(const std::vector<LayerSpec>& layers, const std::string& tag,
                       const std::string& architecture = "", bool docker = false);
  // An index of descriptors under `tag`; gives its digest.
  std::string AddIndex(const std::vector<std::string>& descriptors, const std::string& tag,
                       bool docker = false);
};

struct SeenRequest {
  std::string method;
  std::string target;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

struct Reply {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  // -1: the body's size. Else what Content-Length says.
  long long content_length = -1;
  bool hang = false;  // after the body is sent, until the server ends
};

class LyingRegistry {
 public:
  using Handler = std::function<Reply(const SeenRequest&)>;
  explicit LyingRegistry(Handler handler);
  ~LyingRegistry();
  LyingRegistry(const LyingRegistry&) = delete;
  LyingRegistry& operator=(const LyingRegistry&) = delete;

  std::string authority() const;  // "127.0.0.1:PORT"
  std::vector<SeenRequest> seen() const;

 private:
  void Accept();
  void Serve(int fd);

  const Handler handler_;
  os::UniqueFd listener_;
  os::UniqueFd ended_;
  int port_ = 0;
  mutable Mutex mu_;
  std::vector<SeenRequest> seen_ ABSL_GUARDED_BY(mu_);
  std::vector<std::thread> connections_;
  std::thread acceptor_;
};

// The honest answer: 200 or 206 with what is there, 404 else. `repository` is in the target.
Reply Honest(const Content& content, const SeenRequest& request);

// Uploads everything to a real registry ("http://127.0.0.1:5000").
absl::Status Push(const Content& content, const std::string& url, const std::string& repository);

}  // namespace berth::worker::testing

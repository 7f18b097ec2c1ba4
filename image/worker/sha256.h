// SHA-256 by OpenSSL. Not thread-safe: one thread, one hash.
#pragma once

#include <memory>

#include "absl/strings/string_view.h"
#include "base/ids.h"

struct evp_md_ctx_st;

namespace berth::worker {

// OpenSSL's library, without its configuration file. Call before the process is confined.
void InitSha256();

class Sha256 {
 public:
  Sha256();
  void Update(absl::string_view data);
  // Call once.
  Digest Finish();

 private:
  std::unique_ptr<evp_md_ctx_st, void (*)(evp_md_ctx_st*)> context_;
};

Digest DigestOf(absl::string_view data);

}  // namespace berth::worker

#include "image/worker/sha256.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <cstdlib>
#include <string>

#include "absl/strings/escaping.h"

namespace berth::worker {
namespace {

// OpenSSL fails here only without memory or with a broken library: nothing can be verified then.
void Must(int ok) {
  if (ok != 1) abort();
}

}  // namespace

void InitSha256() {
  Must(OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, nullptr));
  (void)DigestOf("");  // fetches the algorithm once, for all threads
}

Sha256::Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
  Must(context_ != nullptr ? 1 : 0);
  Must(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr));
}

void Sha256::Update(absl::string_view data) {
  Must(EVP_DigestUpdate(context_.get(), data.data(), data.size()));
}

Digest Sha256::Finish() {
  unsigned char raw[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  Must(EVP_DigestFinal_ex(context_.get(), raw, &size));
  const std::string hex =
      absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(raw), size));
  return *Digest::FromSha256Hex(hex);
}

Digest DigestOf(absl::string_view data) {
  Sha256 hash;
  hash.Update(data);
  return hash.Finish();
}

}  // namespace berth::worker

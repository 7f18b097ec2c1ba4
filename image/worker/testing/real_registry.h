// Debian's docker-registry on a port of the loopback interface, and certificates for it.
// Not thread-safe.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "base/os/spawn.h"

namespace berth::worker::testing {

// A self-signed certificate with its key, DIRECTORY/NAME.pem and NAME.key, by the openssl program.
absl::Status MakeCertificate(const std::string& directory, const std::string& name,
                             const std::string& alternative_name);

class RealRegistry {
 public:
  struct Options {
    std::string directory;    // its storage is in it; two of them may use one, one after the other
    std::string certificate;  // name for MakeCertificate; "" = plain HTTP
    std::string client;       // then clients show this certificate, or are turned away
  };
  explicit RealRegistry(const Options& options);
  ~RealRegistry();
  RealRegistry(const RealRegistry&) = delete;
  RealRegistry& operator=(const RealRegistry&) = delete;

  bool Answers() const;  // it takes connections; false for a moment after the start
  std::string authority() const;

 private:
  int port_ = 0;
  os::Child child_;
};

}  // namespace berth::worker::testing

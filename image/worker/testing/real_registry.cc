#include "image/worker/testing/real_registry.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::worker::testing {
namespace {

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

int FreePort() {
  const os::UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (bind(fd.get(), generic, size) != 0 || getsockname(fd.get(), generic, &size) != 0) abort();
  return ntohs(address.sin_port);
}

}  // namespace

absl::Status MakeCertificate(const std::string& directory, const std::string& name,
                             const std::string& alternative_name) {
  os::SpawnOptions spawn;
  spawn.path = "/usr/bin/openssl";
  spawn.argv = {"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"};
  const std::string stem = absl::StrCat(directory, "/", name);
  for (const std::string& word :
       {std::string("-nodes"), std::string("-days"), std::string("2"), std::string("-subj"),
        absl::StrCat("/CN=", name), std::string("-addext"),
        absl::StrCat("subjectAltName=", alternative_name), std::string("-keyout"), stem + ".key",
        std::string("-out"), stem + ".pem"}) {
    spawn.argv.push_back(word);
  }
  ASSIGN_OR_RETURN(const os::Child child, os::Spawn(spawn));
  ASSIGN_OR_RETURN(const int status, os::WaitChild(child, Deadline::After(absl::Seconds(30))));
  return status == 0 ? absl::OkStatus() : absl::InternalError("openssl made no certificate");
}

RealRegistry::RealRegistry(const Options& options) : port_(FreePort()) {
  const std::string config = absl::StrCat(options.directory, "/registry-", port_, ".yml");
  std::string text = absl::StrCat(
      "version: 0.1\nlog:\n  accesslog:\n    disabled: true\n  level: error\nstorage:\n"
      "  filesystem:\n    rootdirectory: ",
      options.directory, "/storage\nhttp:\n  addr: 127.0.0.1:", port_, "\n");
  const std::string stem = absl::StrCat(options.directory, "/", options.certificate);
  if (!options.certificate.empty()) {
    absl::StrAppend(&text, "  tls:\n    certificate: ", stem, ".pem\n    key: ", stem, ".key\n");
  }
  if (!options.client.empty()) {
    absl::StrAppend(&text, "    clientcas:\n      - ", options.directory, "/", options.client,
                    ".pem\n");
  }
  const os::UniqueFd fd(open(config.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (!os::WriteAll(fd.get(), text).ok()) abort();
  os::SpawnOptions spawn;
  spawn.path = "/usr/bin/docker-registry";
  spawn.argv = {"docker-registry", "serve", config};
  absl::StatusOr<os::Child> child = os::Spawn(spawn);
  if (!child.ok()) abort();
  child_ = *std::move(child);
}

RealRegistry::~RealRegistry() {
  (void)kill(child_.pid, SIGKILL);  // ours and unreaped
  (void)os::WaitChild(child_, Deadline::After(absl::Seconds(10)));
}

bool RealRegistry::Answers() const {
  const os::UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = Loopback(port_);
  return connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

std::string RealRegistry::authority() const { return absl::StrCat("127.0.0.1:", port_); }

}  // namespace berth::worker::testing

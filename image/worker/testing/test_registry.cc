#include "image/worker/testing/test_registry.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::worker::testing {
namespace {

constexpr char kOci[] = "application/vnd.oci.image.";
constexpr char kDocker[] = "application/vnd.docker.distribution.manifest.";

std::string DescriptorOf(const std::string& type, const std::string& bytes,
                         const std::string& extra = "") {
  return absl::StrCat("{\"mediaType\":\"", type, "\",\"digest\":\"", DigestOf(bytes).str(),
                      "\",\"size\":", bytes.size(), extra, "}");
}

bool ParseHead(const std::string& head, SeenRequest* request) {
  const std::vector<std::string> lines = absl::StrSplit(head, "\r\n");
  const std::vector<std::string> first = absl::StrSplit(lines[0], ' ');
  if (first.size() != 3) return false;
  request->method = first[0];
  request->target = first[1];
  for (size_t i = 1; i < lines.size(); ++i) {
    const std::pair<std::string, std::string> pair =
        absl::StrSplit(lines[i], absl::MaxSplits(':', 1));
    request->headers[absl::AsciiStrToLower(pair.first)] =
        std::string(absl::StripAsciiWhitespace(pair.second));
  }
  return true;
}

size_t Discard(char*, size_t, size_t size, void*) { return size; }
size_t TakeLocation(char* data, size_t, size_t size, void* out) {
  absl::string_view line(data, size);
  if (absl::StartsWithIgnoreCase(line, "location:")) {
    *static_cast<std::string*>(out) = std::string(absl::StripAsciiWhitespace(line.substr(9)));
  }
  return size;
}

absl::Status Upload(const char* method, const std::string& url, const std::string& type,
                    const std::string& body, std::string* location) {
  CURL* curl = curl_easy_init();
  curl_slist* headers = curl_slist_append(nullptr, ("Content-Type: " + type).c_str());
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
  curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.data());
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, Discard);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, TakeLocation);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, location);
  const CURLcode code = curl_easy_perform(curl);
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_cleanup(curl);
  curl_slist_free_all(headers);
  if (code == CURLE_OK && status >= 200 && status < 300) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(method, " ", url, ": ", status));
}

}  // namespace

std::string Content::AddImage(const std::vector<LayerSpec>& layers, const std::string& tag,
                              const std::string& architecture, bool docker) {
  const std::string config = ConfigJson(layers, "{\"Cmd\":[\"/x\"]}", architecture);
  blobs[DigestOf(config).str()] = config;
  std::vector<std::string> descriptors;
  for (const LayerSpec& layer : layers) {
    blobs[layer.digest] = layer.blob;
    descriptors.push_back(absl::StrCat("{\"mediaType\":\"", layer.media_type, "\",\"digest\":\"",
                                       layer.digest, "\",\"size\":", layer.blob.size(), "}"));
  }
  const std::string type =
      docker ? absl::StrCat(kDocker, "v2+json") : absl::StrCat(kOci, "manifest.v1+json");
  const std::string config_type = docker ? "application/vnd.docker.container.image.v1+json"
                                         : absl::StrCat(kOci, "config.v1+json");
  const std::string manifest = absl::StrCat("{\"schemaVersion\":2,\"mediaType\":\"", type,
                                            "\",\"config\":", DescriptorOf(config_type, config),
                                            ",\"layers\":[", absl::StrJoin(descriptors, ","), "]}");
  manifests[DigestOf(manifest).str()] = {type, manifest};
  if (!tag.empty()) manifests[tag] = {type, manifest};
  return DescriptorOf(type, manifest,
                      absl::StrCat(",\"platform\":{\"os\":\"linux\",\"architecture\":\"",
                                   architecture.empty() ? "amd64" : architecture, "\"}"));
}

std::string Content::AddIndex(const std::vector<std::string>& descriptors, const std::string& tag,
                              bool docker) {
  const std::string type =
      docker ? absl::StrCat(kDocker, "list.v2+json") : absl::StrCat(kOci, "index.v1+json");
  const std::string index =
      absl::StrCat("{\"schemaVersion\":2,\"mediaType\":\"", type, "\",\"manifests\":[",
                   absl::StrJoin(descriptors, ","), "]}");
  std::string digest = DigestOf(index).str();
  manifests[digest] = manifests[tag] = {type, index};
  return digest;
}

LyingRegistry::LyingRegistry(Handler handler) : handler_(std::move(handler)) {
  listener_ = os::UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ended_ = os::UniqueFd(eventfd(0, EFD_CLOEXEC));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(listener_.get(), 64) != 0 ||
      getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    abort();
  }
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { Accept(); });
}

LyingRegistry::~LyingRegistry() {
  const uint64_t one = 1;
  (void)!write(ended_.get(), &one, sizeof one);
  acceptor_.join();
  for (std::thread& thread : connections_) thread.join();
}

std::string LyingRegistry::authority() const { return absl::StrCat("127.0.0.1:", port_); }

std::vector<SeenRequest> LyingRegistry::seen() const {
  MutexLock lock(&mu_);
  return seen_;
}

void LyingRegistry::Accept() {
  for (;;) {
    pollfd fds[2] = {{listener_.get(), POLLIN, 0}, {ended_.get(), POLLIN, 0}};
    if (poll(fds, 2, -1) < 0) continue;
    if (fds[1].revents != 0) return;
    const int fd = accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd >= 0) connections_.emplace_back([this, fd] { Serve(fd); });
  }
}

void LyingRegistry::Serve(int raw_fd) {
  const os::UniqueFd fd(raw_fd);
  std::string input;
  const auto more = [&] {
    pollfd fds[2] = {{fd.get(), POLLIN, 0}, {ended_.get(), POLLIN, 0}};
    if (poll(fds, 2, -1) < 0 || fds[1].revents != 0) return false;
    char buffer[16384];
    const ssize_t n = read(fd.get(), buffer, sizeof buffer);
    if (n > 0) input.append(buffer, static_cast<size_t>(n));
    return n > 0;
  };
  size_t end = 0;
  while ((end = input.find("\r\n\r\n")) == std::string::npos) {
    if (!more()) return;
  }
  SeenRequest request;
  if (!ParseHead(input.substr(0, end), &request)) return;
  size_t length = 0;
  (void)absl::SimpleAtoi(request.headers["content-length"], &length);
  while (input.size() < end + 4 + length) {
    if (!more()) return;
  }
  request.body = input.substr(end + 4, length);
  {
    MutexLock lock(&mu_);
    seen_.push_back(request);
  }
  const Reply reply = handler_(request);
  std::string out = absl::StrCat("HTTP/1.1 ", reply.status, " X\r\nConnection: close\r\n");
  for (const auto& [name, value] : reply.headers) absl::StrAppend(&out, name, ": ", value, "\r\n");
  absl::StrAppend(
      &out, "Content-Length: ",
      reply.content_length < 0 ? static_cast<long long>(reply.body.size()) : reply.content_length,
      "\r\n\r\n", reply.body);
  for (size_t done = 0; done < out.size();) {
    const ssize_t n = send(fd.get(), out.data() + done, out.size() - done, MSG_NOSIGNAL);
    if (n <= 0) return;
    done += static_cast<size_t>(n);
  }
  while (reply.hang && more()) {
  }
}

Reply Honest(const Content& content, const SeenRequest& request) {
  const std::string path = request.target.substr(0, request.target.find('?'));
  const std::string name = path.substr(path.rfind('/') + 1);
  Reply reply;
  if (absl::StrContains(path, "/manifests/")) {
    const auto it = content.manifests.find(name);
    if (it != content.manifests.end()) {
      reply.headers.emplace_back("Content-Type", it->second.type);
      reply.body = it->second.bytes;
      return reply;
    }
  } else if (const auto it = content.blobs.find(name); it != content.blobs.end()) {
    reply.body = it->second;
    const auto range = request.headers.find("range");
    size_t offset = 0;
    if (range != request.headers.end() &&
        absl::SimpleAtoi(absl::StripSuffix(absl::StripPrefix(range->second, "bytes="), "-"),
                         &offset)) {
      reply.status = 206;
      reply.headers.emplace_back(
          "Content-Range",
          absl::StrCat("bytes ", offset, "-", it->second.size() - 1, "/", it->second.size()));
      reply.body = it->second.substr(offset);
    }
    return reply;
  }
  reply.status = 404;
  reply.body = "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\"}]}";
  return reply;
}

absl::Status Push(const Content& content, const std::string& url, const std::string& repository) {
  for (const auto& [digest, bytes] : content.blobs) {
    std::string location;
    RETURN_IF_ERROR(Upload("POST", absl::StrCat(url, "/v2/", repository, "/blobs/uploads/"),
                           "application/octet-stream", "", &location));
    RETURN_IF_ERROR(Upload(
        "PUT",
        absl::StrCat(location, absl::StrContains(location, '?') ? "&" : "?", "digest=", digest),
        "application/octet-stream", bytes, &location));
  }
  // Manifests before the indexes that name them.
  for (const bool indexes : {false, true}) {
    for (const auto& [name, document] : content.manifests) {
      const bool index =
          absl::StrContains(document.type, "index") || absl::StrContains(document.type, "list");
      std::string location;
      if (index == indexes) {
        RETURN_IF_ERROR(Upload("PUT", absl::StrCat(url, "/v2/", repository, "/manifests/", name),
                               document.type, document.bytes, &location));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace berth::worker::testing

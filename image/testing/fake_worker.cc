// A worker for tests of the daemon's side of a pull: it speaks the protocol of berth-image and
// pulls nothing. What it does is the request's repository:
//
//   app-X       layers 1 and X, X a hex digit; each is a directory with one file
//   gate-X      the same, but it unpacks only when somebody opens the FIFO "gate" for writing
//   fail-N      fails with code N before the plan
//   left-out    promises a layer and does not make it
//   liar        says that the registry served another digest than asked for
//
// Each start appends the repository to "starts". Both files are in the request's hosts_dir.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "image_worker.pb.h"

namespace berth::worker {
namespace {

constexpr int kSocket = 3;
constexpr int kStaging = 5;

void ReadExactly(char* data, size_t size) {
  for (size_t done = 0; done < size;) {
    const ssize_t n = read(kSocket, data + done, size - done);
    if (n <= 0) _exit(3);
    done += static_cast<size_t>(n);
  }
}

ToWorker Receive() {
  uint32_t size = 0;
  ReadExactly(reinterpret_cast<char*>(&size), sizeof size);
  std::string body(size, '\0');
  ReadExactly(body.data(), size);
  ToWorker message;
  if (!message.ParseFromString(body)) _exit(4);
  return message;
}

void Send(FromWorker message) {
  message.set_version(1);
  const std::string body = message.SerializeAsString();
  const auto size = static_cast<uint32_t>(body.size());
  std::string frame(reinterpret_cast<const char*>(&size), sizeof size);
  frame += body;
  if (write(kSocket, frame.data(), frame.size()) != static_cast<ssize_t>(frame.size())) _exit(5);
}

void Append(const std::string& path, const std::string& text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0 || write(fd, text.data(), text.size()) < 0) _exit(6);
  close(fd);
}

std::string DigestText(char c) { return absl::StrCat("sha256:", std::string(64, c)); }

void MakeLayer(int number, const std::string& diff_id) {
  const std::string directory = absl::StrCat(number);
  if (mkdirat(kStaging, directory.c_str(), 0755) != 0) _exit(7);
  const int fd =
      openat(kStaging, (directory + "/file").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0 || write(fd, diff_id.data(), diff_id.size()) < 0) _exit(8);
  close(fd);
  FromWorker message;
  message.mutable_layer()->set_diff_id(diff_id);
  message.mutable_layer()->set_directory(directory);
  message.mutable_layer()->set_bytes(8192);
  message.mutable_layer()->set_inodes(2);
  Send(message);
}

int Main() {
  const PullRequest pull = Receive().pull();
  absl::string_view name = pull.repository();
  Append(pull.hosts_dir() + "/starts", pull.repository() + "\n");
  FromWorker message;
  if (int code = 0; absl::ConsumePrefix(&name, "fail-") && absl::SimpleAtoi(name, &code)) {
    message.mutable_failure()->set_code(code);
    message.mutable_failure()->set_message("as asked");
    Send(message);
    return 1;
  }
  message.mutable_progress()->set_bytes_total(100);
  Send(message);
  PlannedImage* image = message.mutable_plan()->add_images();
  const char last = name.back();
  image->set_config_digest(DigestText(last == '-' ? '0' : 'c'));
  if (last >= '0' && last <= '9') image->set_config_digest(DigestText(last));
  image->set_repo_digest(name == "liar" || pull.digest().empty() ? DigestText('d') : pull.digest());
  image->mutable_config()->set_architecture("amd64");
  for (const char layer : {'1', last}) {
    image->add_layers()->set_diff_id(DigestText((layer >= '0' && layer <= '9') ? layer : 'f'));
  }
  Send(message);
  const UnpackRequest wanted = Receive().unpack();
  if (absl::ConsumePrefix(&name, "gate-")) {
    const int gate = open((pull.hosts_dir() + "/gate").c_str(), O_RDONLY | O_CLOEXEC);
    if (gate < 0) return 9;
    close(gate);
  }
  int made = 0;
  for (const std::string& layer : wanted.diff_ids()) {
    if (name != "left-out") MakeLayer(made++, layer);
  }
  message.mutable_done()->set_layers(static_cast<uint32_t>(made));
  Send(message);
  return 0;
}

}  // namespace
}  // namespace berth::worker

int main() { return berth::worker::Main(); }

#include "image/worker/testing/worker_run.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/os/spawn.h"
#include "base/status_macros.h"
#include "image/worker/message.h"

namespace berth::worker::testing {
namespace {

bool ReadAll(int fd, char* data, size_t size) {
  for (size_t done = 0; done < size;) {
    const ssize_t n = read(fd, data + done, size - done);
    if (n <= 0) return false;
    done += static_cast<size_t>(n);
  }
  return true;
}

absl::StatusOr<FromWorker> Receive(int fd) {
  unsigned char head[4];
  if (!ReadAll(fd, reinterpret_cast<char*>(head), 4)) {
    return absl::InternalError("the worker hung up");
  }
  std::string body(head[0] | head[1] << 8 | head[2] << 16 | size_t{head[3]} << 24, '\0');
  FromWorker message;
  if (!ReadAll(fd, body.data(), body.size()) || !message.ParseFromString(body)) {
    return absl::InternalError("the worker sent no message");
  }
  return message;
}

absl::Status SendRequest(int fd, const ImportPlan& plan, const std::vector<std::string>& have) {
  ToWorker message;
  message.set_version(kProtocolVersion);
  message.mutable_unpack();
  for (const PlannedImage& image : plan.images()) {
    for (const PlannedLayer& layer : image.layers()) {
      if (std::find(have.begin(), have.end(), layer.diff_id()) == have.end()) {
        message.mutable_unpack()->add_diff_ids(layer.diff_id());
      }
    }
  }
  std::string frame;
  const size_t size = message.ByteSizeLong();
  for (int shift = 0; shift < 32; shift += 8) frame.push_back(static_cast<char>(size >> shift));
  return os::WriteAll(fd, frame + message.SerializeAsString());
}

absl::Status Converse(int fd, const WorkerOptions& options, WorkerResult* result,
                      std::vector<Progress>* progress = nullptr,
                      const std::function<void()>& on_message = nullptr) {
  for (;;) {
    ASSIGN_OR_RETURN(FromWorker message, Receive(fd));
    if (on_message) on_message();
    switch (message.body_case()) {
      case FromWorker::kPlan:
        result->plan = message.plan();
        if (options.hang_up_after_plan) return absl::OkStatus();
        RETURN_IF_ERROR(SendRequest(fd, result->plan, options.have));
        break;
      case FromWorker::kLayer:
        result->layers[message.layer().diff_id()] = message.layer();
        break;
      case FromWorker::kDone:
        return absl::OkStatus();
      case FromWorker::kFailure:
        return absl::Status(static_cast<absl::StatusCode>(message.failure().code()),
                            message.failure().message());
      case FromWorker::kProgress:
        if (progress != nullptr) progress->push_back(message.progress());
        break;
      case FromWorker::BODY_NOT_SET:
        return absl::InternalError("an empty message");
    }
  }
}

void DescribeEntry(int dir_fd, const std::string& name, const std::string& path, std::string* out) {
  struct stat st;
  if (fstatat(dir_fd, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return;
  absl::StrAppendFormat(out, "%s %o %d:%d", path, st.st_mode, st.st_uid, st.st_gid);
  if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode)) {
    absl::StrAppendFormat(out, " %d:%d", major(st.st_rdev), minor(st.st_rdev));
  }
  if (S_ISREG(st.st_mode) && st.st_size <= 4096) {
    absl::StrAppend(out, " ", os::ReadFileAt(dir_fd, name, 4096).value_or("?"));
  }
  if (S_ISLNK(st.st_mode)) {
    char target[4096];
    const ssize_t n = readlinkat(dir_fd, name.c_str(), target, sizeof target);
    absl::StrAppend(out, " -> ", absl::string_view(target, n < 0 ? 0 : static_cast<size_t>(n)));
  }
  out->push_back('\n');
  if (!S_ISDIR(st.st_mode)) return;
  os::UniqueFd fd(openat(dir_fd, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  auto children = os::ListDir(fd.get(), ".");
  if (!children.ok()) return;
  for (const std::string& child : *children) {
    DescribeEntry(fd.get(), child, absl::StrCat(path, "/", child), out);
  }
}

}  // namespace

TempDir::TempDir() {
  char name[] = "/tmp/berth-image-test-XXXXXX";
  if (mkdtemp(name) == nullptr) abort();
  path_ = name;
}

TempDir::~TempDir() {
  (void)os::RemoveTree(AT_FDCWD, path_);
}  // a test's leftovers are reported by /tmp

absl::StatusOr<WorkerResult> RunWorker(const std::string& archive_path, const std::string& staging,
                                       const WorkerOptions& options) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
    return os::ErrnoStatus(errno, "socketpair");
  }
  os::UniqueFd ours(pair[0]);
  os::UniqueFd theirs(pair[1]);
  ASSIGN_OR_RETURN(const os::UniqueFd archive, os::Open(archive_path, O_RDONLY));
  ASSIGN_OR_RETURN(const os::UniqueFd directory, os::Open(staging, O_RDONLY | O_DIRECTORY));
  os::SpawnOptions spawn;
  spawn.path = BERTH_IMAGE_PROGRAM;
  spawn.argv = {"berth-image", "import"};
  spawn.argv.insert(spawn.argv.end(), options.arguments.begin(), options.arguments.end());
  spawn.fds = {{2, 2}, {theirs.get(), 3}, {archive.get(), 4}, {directory.get(), 5}};
  spawn.clone_flags = CLONE_NEWNET | CLONE_NEWIPC;
  ASSIGN_OR_RETURN(const os::Child child, os::Spawn(spawn));
  theirs.reset();
  WorkerResult result;
  const absl::Status status = Converse(ours.get(), options, &result);
  ours.reset();
  ASSIGN_OR_RETURN(result.wait_status, os::WaitChild(child, Deadline::After(absl::Seconds(60))));
  RETURN_IF_ERROR(status);
  return result;
}

absl::StatusOr<WorkerResult> RunPull(const PullRequest& request, const std::string& staging,
                                     const PullOptions& options) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
    return os::ErrnoStatus(errno, "socketpair");
  }
  os::UniqueFd ours(pair[0]);
  os::UniqueFd theirs(pair[1]);
  ASSIGN_OR_RETURN(const os::UniqueFd directory, os::Open(staging, O_RDONLY | O_DIRECTORY));
  os::SpawnOptions spawn;
  spawn.path = BERTH_IMAGE_PROGRAM;
  spawn.argv = {"berth-image", "pull"};
  spawn.argv.insert(spawn.argv.end(), options.arguments.begin(), options.arguments.end());
  spawn.fds = {{2, 2}, {theirs.get(), 3}, {directory.get(), 5}};
  ASSIGN_OR_RETURN(const os::Child child, os::Spawn(spawn));
  theirs.reset();
  ToWorker first;
  first.set_version(kProtocolVersion);
  *first.mutable_pull() = request;
  WorkerResult result;
  WorkerOptions converse;
  converse.have = options.have;
  absl::Status status = SendMessage(ours.get(), first, "the worker");
  if (status.ok()) {
    status = Converse(ours.get(), converse, &result, options.progress, [&] {
      if (options.on_message) options.on_message(child.pid);
    });
  }
  ours.reset();
  ASSIGN_OR_RETURN(result.wait_status, os::WaitChild(child, Deadline::After(absl::Seconds(60))));
  RETURN_IF_ERROR(status);
  return result;
}

std::string Describe(const std::string& directory) {
  std::string out;
  DescribeEntry(AT_FDCWD, directory, ".", &out);
  return out;
}

}  // namespace berth::worker::testing

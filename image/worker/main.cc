// berth-image: the image worker. Started by berthd with fds 3 (socket), 4 (archive, of an import)
// and 5 (staging directory), and for an import without network; see docs/formats/image-worker.md.
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/os/errno_status.h"
#include "base/status_macros.h"
#include "image/worker/channel.h"
#include "image/worker/confine.h"
#include "image/worker/import.h"
#include "image/worker/pull.h"
#include "image/worker/sha256.h"

namespace berth::worker {
namespace {

constexpr int kSocketFd = 3;
constexpr int kArchiveFd = 4;
constexpr int kStagingFd = 5;
constexpr unsigned kMaxThreads = 4;

constexpr char kUsage[] =
    "usage: berth-image import|pull [--max-layer-bytes=N] [--max-entries=N]\n"
    "Started by berthd: fd 3 is a stream socket to it, 4 the archive, 5 the staging directory.\n";

absl::StatusOr<Limits> ParseArguments(int argc, char** argv) {
  const absl::string_view verb = argc < 2 ? "" : argv[1];
  if (verb != "import" && verb != "pull") {
    return absl::InvalidArgumentError("the verb is import or pull");
  }
  Limits limits;
  for (int i = 2; i < argc; ++i) {
    absl::string_view argument = argv[i];
    uint64_t* value = absl::ConsumePrefix(&argument, "--max-layer-bytes=") ? &limits.max_layer_bytes
                      : absl::ConsumePrefix(&argument, "--max-entries=")   ? &limits.max_entries
                                                                           : nullptr;
    if (value == nullptr || !absl::SimpleAtoi(argument, value) || *value == 0) {
      return absl::InvalidArgumentError(absl::StrCat("bad argument ", argv[i]));
    }
  }
  return limits;
}

absl::Status CheckFd(int fd, mode_t type, const char* name) {
  struct stat st;
  if (fstat(fd, &st) != 0 || (st.st_mode & S_IFMT) != type) {
    return absl::FailedPreconditionError(absl::StrCat("fd ", fd, " is not the ", name));
  }
  return absl::OkStatus();
}

absl::Status Import(const Limits& limits, Channel* channel) {
  RETURN_IF_ERROR(CheckFd(kArchiveFd, S_IFREG, "archive (a regular file)"));
  RETURN_IF_ERROR(CheckFd(kStagingFd, S_IFDIR, "staging directory"));
  ImportOptions options;
  options.archive_fd = kArchiveFd;
  options.staging_fd = kStagingFd;
  options.limits = limits;
  // Asked before the walls go up; each thread has buffers of its own, so there are never many.
  options.threads = std::clamp(std::thread::hardware_concurrency(), 1u, kMaxThreads);
  InitSha256();
  ASSIGN_OR_RETURN(options.confinement, Confine(kStagingFd, limits));
  return RunImport(options, channel);
}

int Main(int argc, char** argv) {
  absl::StatusOr<Limits> limits = ParseArguments(argc, argv);
  absl::Status fds = CheckFd(kSocketFd, S_IFSOCK, "socket");
  if (!limits.ok() || !fds.ok()) {
    const absl::Status& bad = limits.ok() ? fds : limits.status();
    (void)fprintf(stderr, "berth-image: %s\n%s", std::string(bad.message()).c_str(), kUsage);
    return 2;
  }
  // NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread is there yet
  (void)mallopt(M_ARENA_MAX, 2);  // one arena a thread would double the memory
  if (absl::string_view(argv[1]) == "pull") {
    if (absl::Status s = CheckFd(kStagingFd, S_IFDIR, "staging directory"); !s.ok()) {
      (void)fprintf(stderr, "berth-image: %s\n", std::string(s.message()).c_str());
      return 2;
    }
    return RunPull(kSocketFd, kStagingFd, *limits);
  }
  Channel channel(kSocketFd);
  const absl::Status result = Import(*limits, &channel);
  if (result.ok()) return 0;
  // A daemon that is gone cannot be told, and needs not.
  (void)channel.SendFailure(result);
  return 1;
}

}  // namespace
}  // namespace berth::worker

// Without static destructors and a sanitizer's leak check, which could not ptrace from here.
int main(int argc, char** argv) { _exit(berth::worker::Main(argc, argv)); }

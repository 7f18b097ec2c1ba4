#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/os/errno_status.h"
#include "base/os/file.h"
#include "base/status_macros.h"
#include "ctl/args.h"
#include "ctl/commands.h"
#include "ctl/output.h"
#include "ctl/table.h"

namespace berth::ctl {
namespace {

constexpr size_t kChunkBytes = 1 << 20;

std::string AbsolutePath(const std::string& path) {
  char resolved[PATH_MAX];
  return realpath(path.c_str(), resolved) == nullptr ? path : resolved;
}

absl::Status ReadChunk(int fd, const std::string& path, std::string* chunk) {
  chunk->resize(kChunkBytes);
  ssize_t n = 0;
  do {
    n = read(fd, chunk->data(), chunk->size());
  } while (n < 0 && errno == EINTR);
  if (n < 0) return os::ErrnoStatus(errno, absl::StrCat("read ", path));
  chunk->resize(static_cast<size_t>(n));
  return absl::OkStatus();
}

absl::StatusOr<int> Import(const Context& context, const Words& words) {
  ASSIGN_OR_RETURN(const Args args, Args::Parse({{"name", 'n', true}, {"pin", '\0', false}}, words,
                                                Order::kAnywhere));
  if (args.rest().size() != 1) {
    return absl::InvalidArgumentError("image import needs one FILE, or - for standard input");
  }
  const std::string& path = args.rest()[0];
  os::UniqueFd file;
  if (path != "-") {
    ASSIGN_OR_RETURN(file, os::Open(path, O_RDONLY));
  }
  const int fd = path == "-" ? STDIN_FILENO : file.get();
  admin::ImportImageRequest::Options options;
  options.set_origin(path == "-" ? "standard input" : AbsolutePath(path));
  options.set_name(args.Value("name"));
  options.set_pinned(args.Has("pin"));
  ASSIGN_OR_RETURN(const auto reply, context.admin->ImportImage(options, [&](std::string* chunk) {
    return ReadChunk(fd, path, chunk);
  }));
  for (const admin::ImportedImage& image : reply.images()) {
    RETURN_IF_ERROR(Print(absl::StrCat(image.id(), " ", absl::StrJoin(image.names(), " "), " (",
                                       Bytes(image.size_bytes()), ")\n")));
  }
  return 0;
}

// USER:PASSWORD, or @FILE that holds it: what is on a command line every user of the host can read.
absl::StatusOr<cri::AuthConfig> ReadCredentials(const std::string& text) {
  std::string pair = text;
  if (absl::StartsWith(text, "@")) {
    ASSIGN_OR_RETURN(pair, os::ReadFile(text.substr(1), 64 << 10));
    absl::StripTrailingAsciiWhitespace(&pair);
  }
  const size_t colon = pair.find(':');
  if (colon == std::string::npos || colon == 0) {
    return absl::InvalidArgumentError("flag --creds needs USER:PASSWORD or @FILE");
  }
  cri::AuthConfig auth;
  auth.set_username(pair.substr(0, colon));
  auth.set_password(pair.substr(colon + 1));
  return auth;
}

absl::StatusOr<int> Pull(const Context& context, const Words& words) {
  ASSIGN_OR_RETURN(const Args args, Args::Parse({{"creds", '\0', true}}, words, Order::kAnywhere));
  if (args.rest().size() != 1) return absl::InvalidArgumentError("image pull needs one IMAGE");
  cri::AuthConfig auth;
  if (args.Has("creds")) {
    ASSIGN_OR_RETURN(auth, ReadCredentials(args.Value("creds")));
  }
  ASSIGN_OR_RETURN(const std::string id, context.cri->PullImage(args.rest()[0], auth));
  RETURN_IF_ERROR(Print(absl::StrCat(id, "\n")));
  return 0;
}

absl::StatusOr<int> List(const Context& context, const Words& words) {
  ASSIGN_OR_RETURN(const Args args, Args::Parse({{"quiet", 'q', false}}, words, Order::kAnywhere));
  if (!args.rest().empty()) return absl::InvalidArgumentError("image ls takes no arguments");
  ASSIGN_OR_RETURN(const auto reply, context.cri->ListImages());
  Table table({"ID", "SIZE", "PINNED", "NAMES"});
  std::string ids;
  for (const cri::Image& image : reply.images()) {
    absl::StrAppend(&ids, image.id(), "\n");
    const auto& names = image.repo_tags().empty() ? image.repo_digests() : image.repo_tags();
    table.Add({image.id().substr(0, 19), Bytes(image.size()), image.pinned() ? "yes" : "no",
               names.empty() ? "-" : absl::StrJoin(names, " ")});
  }
  RETURN_IF_ERROR(Print(args.Has("quiet") ? ids : table.Text()));
  return 0;
}

absl::StatusOr<int> Remove(const Context& context, const Words& words) {
  ASSIGN_OR_RETURN(const Args args, Args::Parse({}, words, Order::kAnywhere));
  if (args.rest().empty()) return absl::InvalidArgumentError("image rm needs an IMAGE");
  for (const std::string& reference : args.rest()) {
    // CRI calls removing what is not there a success; a person has mistyped it.
    RETURN_IF_ERROR(context.cri->FindImage(reference).status());
    RETURN_IF_ERROR_CTX(context.cri->RemoveImage(reference),
                        absl::StrCat("remove image ", reference));
  }
  return 0;
}

}  // namespace

absl::StatusOr<int> Image(const Context& context, const Words& words) {
  const std::string verb = words.empty() ? "" : words[0];
  const Words rest(words.begin() + (words.empty() ? 0 : 1), words.end());
  if (verb == "import") return Import(context, rest);
  if (verb == "pull") return Pull(context, rest);
  if (verb == "ls") return List(context, rest);
  if (verb == "rm") return Remove(context, rest);
  return absl::InvalidArgumentError("image needs pull, import, ls or rm");
}

}  // namespace berth::ctl

#include "shim/seccomp/compiled_profile_cache.h"

#include <fcntl.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/os/file.h"
#include "base/status_macros.h"

namespace berth::shim::seccomp {
namespace {

constexpr size_t kMaxFileBytes = 64 << 10;  // the kernel's limit for a program is 32 KiB
constexpr absl::Duration kWaitForOther = absl::Seconds(30);

// What a cache file begins with; native byte order, since the program is of this machine too.
struct Header {
  char magic[8];
  uint32_t version;
  uint32_t length;  // of the program that follows
  unsigned char sha256[SHA256_DIGEST_LENGTH];
};
static_assert(sizeof(Header) == 48);
constexpr char kMagic[8] = {'b', 'e', 'r', 't', 'h', 'b', 'p', 'f'};
constexpr uint32_t kHeaderVersion = 1;

const unsigned char* Bytes(const std::string& data) {
  return reinterpret_cast<const unsigned char*>(data.data());
}

std::string Key(const Profile& profile) {
  const std::string text = CanonicalText(profile);
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(Bytes(text), text.size(), digest);
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(digest), sizeof digest));
}

std::string Suffix() { return absl::StrCat("-", CompilerVersion(), ".bpf"); }

std::string Encode(const std::string& program) {
  Header header = {};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = kHeaderVersion;
  header.length = static_cast<uint32_t>(program.size());
  SHA256(Bytes(program), program.size(), header.sha256);
  return absl::StrCat(absl::string_view(reinterpret_cast<const char*>(&header), sizeof header),
                      program);
}

// nullopt for anything that Encode did not write.
std::optional<std::string> Decode(const std::string& file) {
  Header header;
  if (file.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, file.data(), sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) return std::nullopt;
  if (header.version != kHeaderVersion) return std::nullopt;
  std::string program = file.substr(sizeof header);
  if (program.empty() || program.size() != header.length) return std::nullopt;
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(Bytes(program), program.size(), digest);
  if (std::memcmp(digest, header.sha256, sizeof digest) != 0) return std::nullopt;
  return program;
}

// Programs of other compiler versions, and temporary files that a kill left.
absl::Status RemoveStale(int directory) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, os::ListDir(directory, "."));
  for (const std::string& name : names) {
    const bool ours = absl::StrContains(name, ".bpf");
    if (!ours || (absl::EndsWith(name, Suffix()) && name[0] != '.')) continue;
    RETURN_IF_ERROR(os::RemoveTree(directory, name));
  }
  return absl::OkStatus();
}

}  // namespace

struct CompiledProfileCache::Entry {
  // Guarded by the cache's mu_.
  std::optional<absl::StatusOr<std::string>> result;  // nullopt while one thread works on it
  uint64_t last_use = 0;
};

CompiledProfileCache::CompiledProfileCache(os::UniqueFd directory, Compiler compiler)
    : directory_(std::move(directory)), compiler_(std::move(compiler)) {}

absl::StatusOr<std::unique_ptr<CompiledProfileCache>> CompiledProfileCache::Open(
    const std::string& directory, Compiler compiler) {
  os::UniqueFd fd;
  if (!directory.empty()) {
    RETURN_IF_ERROR_CTX(os::EnsureDir(directory, 0700), "seccomp cache");
    ASSIGN_OR_RETURN_CTX(fd, os::Open(directory, O_RDONLY | O_DIRECTORY), "seccomp cache");
    RETURN_IF_ERROR_CTX(RemoveStale(fd.get()), "clean seccomp cache");
  }
  return std::unique_ptr<CompiledProfileCache>(
      new CompiledProfileCache(std::move(fd), std::move(compiler)));
}

absl::StatusOr<std::string> CompiledProfileCache::Get(const Profile& profile) {
  const std::string key = Key(profile);
  std::shared_ptr<Entry> entry;
  {
    MutexLock lock(&mu_);
    const auto found = entries_.find(key);
    if (found != entries_.end()) {
      entry = found->second;
      entry->last_use = ++clock_;
      const Deadline deadline = Deadline::After(kWaitForOther);
      while (!entry->result && !deadline.Expired()) {
        finished_.WaitFor(&mu_, deadline.Remaining());
      }
      if (entry->result) return *entry->result;
      return absl::DeadlineExceededError("wait for another's compilation of the seccomp profile");
    }
    MakeRoom();
    entry = std::make_shared<Entry>();
    entry->last_use = ++clock_;
    entries_[key] = entry;
  }
  absl::StatusOr<std::string> result = LoadOrCompile(key, profile);
  MutexLock lock(&mu_);
  entry->result = result;
  if (!result.ok()) entries_.erase(key);
  finished_.NotifyAll();
  return result;
}

absl::StatusOr<std::string> CompiledProfileCache::LoadOrCompile(const std::string& key,
                                                                const Profile& profile) {
  const std::string name = absl::StrCat(key, Suffix());
  if (directory_.valid()) {
    const auto file = os::ReadFileAt(directory_.get(), name, kMaxFileBytes);
    if (file.ok()) {
      if (std::optional<std::string> program = Decode(*file)) return *std::move(program);
      LogWarning("seccomp cache file is damaged and made anew", {{"file", name}});
    }
  }
  ASSIGN_OR_RETURN(std::string program, compiler_(profile));
  if (directory_.valid()) {
    const absl::Status written = os::WriteFileAtomic(directory_.get(), name, Encode(program), 0600,
                                                     os::Durability::kProcessCrash);
    if (!written.ok()) {
      LogWarning("seccomp cache file is not written", {{"error", written.ToString()}});
    }
  }
  return program;
}

void CompiledProfileCache::MakeRoom() {
  while (entries_.size() >= kMaxInMemory) {
    auto oldest = entries_.end();
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
      if (!it->second->result) continue;  // someone waits for it
      if (oldest == entries_.end() || it->second->last_use < oldest->second->last_use) oldest = it;
    }
    if (oldest == entries_.end()) return;
    entries_.erase(oldest);
  }
}

}  // namespace berth::shim::seccomp

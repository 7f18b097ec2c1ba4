// CompiledProfileCache: each distinct profile is compiled once, for this process and, in a
// directory, for the next one. The key is the SHA-256 of the canonical profile. Thread-safe; two
// that ask for the same profile at once share one compilation.
//
//   <directory>/<sha256>-<CompilerVersion()>.bpf   0600, docs/formats/seccomp-cache.md
//
// A file is only ever a saving: one that is short, long or altered is compiled anew and rewritten,
// and a directory that cannot be written costs a line in the log.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "base/os/unique_fd.h"
#include "shim/seccomp/profile.h"

namespace berth::shim::seccomp {

class CompiledProfileCache {
 public:
  using Compiler = std::function<absl::StatusOr<std::string>(const Profile&)>;
  // Profiles held in memory; the one asked for longest ago goes first.
  static constexpr size_t kMaxInMemory = 64;

  // Makes `directory` (0700) and removes what other versions left in it. "" = memory only.
  // `compiler` is there for tests.
  static absl::StatusOr<std::unique_ptr<CompiledProfileCache>> Open(const std::string& directory,
                                                                    Compiler compiler = Compile);

  // Compile()'s value and errors; an error is not remembered.
  absl::StatusOr<std::string> Get(const Profile& profile);

 private:
  struct Entry;

  CompiledProfileCache(os::UniqueFd directory, Compiler compiler);
  absl::StatusOr<std::string> LoadOrCompile(const std::string& key, const Profile& profile);
  void MakeRoom() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const os::UniqueFd directory_;  // invalid: memory only
  const Compiler compiler_;
  Mutex mu_;
  CondVar finished_;
  uint64_t clock_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<std::string, std::shared_ptr<Entry>> entries_ ABSL_GUARDED_BY(mu_);
};

}  // namespace berth::shim::seccomp

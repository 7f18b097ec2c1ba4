#include "server/seccomp_programs.h"

#include <utility>

#include "base/status_macros.h"
#include "shim/seccomp/compiled_profile_cache.h"
#include "shim/seccomp/profile.h"
#include "shim/seccomp/profile_file.h"

namespace berth::server {
namespace {

using shim::seccomp::CompiledProfileCache;

class SeccompPrograms final : public sandbox::SeccompSource {
 public:
  explicit SeccompPrograms(std::unique_ptr<CompiledProfileCache> cache)
      : cache_(std::move(cache)) {}
  absl::StatusOr<std::string> ProgramFor(uint64_t capabilities) override {
    return cache_->Get(shim::seccomp::DefaultProfile(capabilities));
  }
  absl::StatusOr<std::string> ProgramFromFile(const std::string& path,
                                              uint64_t capabilities) override {
    using namespace shim::seccomp;  // NOLINT(google-build-using-namespace): three of its names
    ASSIGN_OR_RETURN(const std::string text, ReadProfileFile(path));
    absl::StatusOr<Profile> profile = ParseProfile(text, ContextOf(capabilities));
    if (!profile.ok()) return Annotate(profile.status(), path);
    absl::StatusOr<std::string> program = cache_->Get(*profile);
    return program.ok() ? std::move(program) : Annotate(program.status(), path);
  }

 private:
  const std::unique_ptr<CompiledProfileCache> cache_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<sandbox::SeccompSource>> OpenSeccompPrograms(
    const std::string& directory) {
  ASSIGN_OR_RETURN_CTX(auto cache, CompiledProfileCache::Open(directory), "open seccomp cache");
  return std::unique_ptr<sandbox::SeccompSource>(new SeccompPrograms(std::move(cache)));
}

}  // namespace berth::server

#include "server/seccomp_programs.h"

#include <utility>

#include "base/status_macros.h"
#include "shim/seccomp/compiled_profile_cache.h"
#include "shim/seccomp/filter.h"
#include "shim/seccomp/profile.h"
#include "shim/seccomp/profile_file.h"

namespace berth::server {
namespace {

using shim::seccomp::CompiledProfileCache;

class SeccompPrograms final : public sandbox::SeccompSource {
 public:
  explicit SeccompPrograms(std::unique_ptr<CompiledProfileCache> cache)
      : cache_(std::move(cache)) {}
  absl::StatusOr<shim::SeccompFilter> FilterFor(uint64_t capabilities) override {
    return FilterOf(shim::seccomp::DefaultProfile(capabilities), cache_.get());
  }
  absl::StatusOr<shim::SeccompFilter> FilterFromFile(const std::string& path,
                                                     uint64_t capabilities) override {
    using namespace shim::seccomp;  // NOLINT(google-build-using-namespace): three of its names
    ASSIGN_OR_RETURN(const std::string text, ReadProfileFile(path));
    absl::StatusOr<Profile> profile = ParseProfile(text, ContextOf(capabilities));
    if (!profile.ok()) return Annotate(profile.status(), path);
    absl::StatusOr<shim::SeccompFilter> filter = FilterOf(*profile, cache_.get());
    return filter.ok() ? std::move(filter) : Annotate(filter.status(), path);
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

#include "base/status_macros.h"
#include "ctl/lookup.h"

namespace berth::ctl {

absl::StatusOr<cri::Container> FindContainer(CriClient* client, const std::string& word) {
  ASSIGN_OR_RETURN(const auto containers, client->ListContainers());
  return PickContainer(containers, word);
}

}  // namespace berth::ctl

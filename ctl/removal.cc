#include "ctl/removal.h"

#include <unistd.h>

#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "ctl/commands.h"

namespace berth::ctl {
namespace {

// Only what berthctl asked for: the file, and its directories as far as they are empty.
void RemoveLog(const std::string& path) {
  std::string part = path;
  (void)unlink(part.c_str());  // a log that is gone is what is wanted
  for (int level = 0; level < 2; ++level) {
    const size_t slash = part.rfind('/');
    if (slash == 0 || slash == std::string::npos) return;
    part.resize(slash);
    if (rmdir(part.c_str()) != 0) return;
  }
}

absl::StatusOr<std::vector<std::string>> ContainersOf(CriClient* client, const std::string& pod) {
  ASSIGN_OR_RETURN(const auto list, client->ListContainers());
  std::vector<std::string> ids;
  for (const cri::Container& c : list.containers()) {
    if (c.pod_sandbox_id() == pod) ids.push_back(c.id());
  }
  return ids;
}

absl::Status StopAll(CriClient* client, const std::vector<std::string>& ids, absl::Duration grace) {
  std::vector<absl::Status> results(ids.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < ids.size(); ++i) {
    threads.emplace_back([&, i] { results[i] = client->StopContainer(ids[i], grace); });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < ids.size(); ++i) {
    RETURN_IF_ERROR_CTX(results[i], absl::StrCat("stop container ", ids[i]));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RemoveContainer(CriClient* client, const std::string& id, absl::Duration grace) {
  RETURN_IF_ERROR_CTX(client->StopContainer(id, grace), absl::StrCat("stop container ", id));
  return Annotate(client->RemoveContainer(id), absl::StrCat("remove container ", id));
}

absl::Status RemovePod(CriClient* client, const cri::PodSandbox& pod, absl::Duration grace) {
  ASSIGN_OR_RETURN(const std::vector<std::string> ids, ContainersOf(client, pod.id()));
  const auto label = pod.labels().find(kMadeByLabel);
  const bool ours = label != pod.labels().end() && label->second == kMadeByValue;
  std::vector<std::string> logs;
  for (const std::string& id : ids) {
    const auto status = client->Status(id);
    if (ours && status.ok() && !status->log_path().empty()) logs.push_back(status->log_path());
  }
  RETURN_IF_ERROR(StopAll(client, ids, grace));
  RETURN_IF_ERROR_CTX(client->StopPod(pod.id()), absl::StrCat("stop pod ", pod.id()));
  RETURN_IF_ERROR_CTX(client->RemovePod(pod.id()), absl::StrCat("remove pod ", pod.id()));
  for (const std::string& log : logs) RemoveLog(log);
  return absl::OkStatus();
}

}  // namespace berth::ctl

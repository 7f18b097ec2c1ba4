#include "server/exec_reply.h"

#include <algorithm>

namespace berth::server {

void FitExecReply(::runtime::v1::ExecSyncResponse* reply, size_t limit) {
  const size_t out = reply->stdout().size();
  const size_t err = reply->stderr().size();
  if (out + err <= limit) return;
  // The shorter stream keeps up to half; the other gets what is left.
  const size_t shorter = std::min({out, err, limit / 2});
  const size_t longer = limit - shorter;
  reply->mutable_stdout()->resize(std::min(out, out <= err ? shorter : longer));
  reply->mutable_stderr()->resize(std::min(err, out <= err ? longer : shorter));
}

}  // namespace berth::server

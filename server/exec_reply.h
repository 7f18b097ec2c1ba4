// Keeps an ExecSync reply within what clients accept. Pure; thread-safe.
#pragma once

#include "cri.pb.h"

namespace berth::server {

// Kubelet and crictl refuse a message over 16 MiB, and each stream alone may hold that much. Cuts
// the longer stream first, so that the exit code arrives.
void FitExecReply(::runtime::v1::ExecSyncResponse* reply, size_t limit = (16 << 20) - 4096);

}  // namespace berth::server

// `berth-shim create`: the set-up stage. Reads the launch document, makes the container up to the
// gate just before exec, answers with one CreateReply, and becomes the monitor by execve of the
// same program: same pid, same children, clean memory.
#pragma once

namespace berth::shim {

// Returns only on failure, with the exit code of the process; nothing of the container is left.
int RunCreate();

}  // namespace berth::shim

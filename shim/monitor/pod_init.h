// The init of a pod whose containers share a PID namespace: PID 1 in there, reaps what is orphaned,
// and is all that the pod has of processes of its own. `berth-shim init` is started by the launcher
// (shim/pod_init.h) and does not stay itself:
//
//   daemon ── spawn ──► berth-shim init          joins the pod's namespaces, leaves every file
//                             │ clone3               system, moves its root to an empty directory
//                             │ (CLONE_NEWPID, CLONE_PARENT)
//                             ▼
//                       "berth-init"             no descriptors, no capabilities, no_new_privs;
//                                                a child of the daemon, not of what made it
//
// Signals from inside the pod do nothing, so no container can end it; SIGTERM from outside does, as
// a host that shuts down sends it. Its end is the end of everything in its PID namespace.
// Single-threaded; no Abseil, no JSON, no heap.
#pragma once

#include <stdint.h>

namespace berth::shim::monitor {

// berth-shim init <oom_score_adj> <CLONE_NEW* of kInitJoinFd> <of the next> ...
enum InitFd : int {
  kInitReportFd = 3,  // pipe: two InitReports, or EOF
  kInitHolderFd = 4,  // the holder mount namespace, whose /root is an empty directory
  kInitJoinFd = 5,    // the first of the pod's namespaces; a user namespace comes last
};

enum InitStep : int32_t {
  kInitBorn,   // `value`: its pid in the parent's PID namespace
  kInitReady,  // it is PID 1 of its own and has given up all that it does not need
  // Failures; `value` is an errno.
  kInitHolderFailed,
  kInitJoinFailed,
  kInitRootFailed,
  kInitOomScoreFailed,
  kInitUserFailed,
  kInitPrivilegesFailed,
  kInitCloneFailed,
};

struct InitReport {
  int32_t step;
  int32_t value;
};

int RunPodInit(int argc, char** argv);

}  // namespace berth::shim::monitor

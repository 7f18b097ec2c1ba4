// A time namespace of the container's own (time_namespaces(7)): its offsets can be set until
// the first process is in it. Part of shim/child: a failure ends the process with a report.
#pragma once

#include "shim/child/plan.h"

namespace berth::shim::child {

// Where the offsets are written, opened with the privileges of now; -1 when there are none to
// write. /proc must be one that shows this process.
int OpenTimeOffsets(const SetupPlan& setup, int report_fd);

// The next child is born in a new time namespace, owned by this process's user namespace.
void MakeTimeNamespace(const SetupPlan& setup, int offsets_fd, int report_fd);

// This process goes where its next child would be born.
void EnterTimeNamespace(int report_fd);

}  // namespace berth::shim::child

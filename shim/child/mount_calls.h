// Mount system calls as the child needs them. Part of shim/child. Results: fd or -errno, 0 or
// -errno.
#pragma once

#include <stdint.h>

#include "shim/child/plan.h"
#include "shim/child/report.h"

namespace berth::shim::child {

// A new file system, detached. On failure the kernel's own message is put into `message`.
int NewFileSystem(PlanReader plan, const char* fs_type, Span options, uint64_t attributes,
                  Words* message);
// `mount_fd` on top of what `target_fd` refers to.
int Attach(int mount_fd, int target_fd);
// A detached bind clone of what `fd` refers to.
int Clone(int fd, bool recursive);
struct AttributeChange {  // MOUNT_ATTR_*
  uint64_t set = 0;
  uint64_t clear = 0;
};
int SetAttributes(int fd, AttributeChange change, uint64_t propagation, bool recursive);
// Changes the file system of the mount whose root `fd` refers to. Messages as NewFileSystem.
int Reconfigure(int fd, PlanReader plan, Span options, Words* message);

// open("/dev/null") below the root, refused unless it is the null device. O_PATH when `path_only`.
int OpenNull(int root_fd, bool path_only);

}  // namespace berth::shim::child

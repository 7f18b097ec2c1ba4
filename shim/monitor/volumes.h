// Taking a dead container's volumes out of its mount namespace, which the monitor still holds: a
// block device must be free when the exit is told, whatever the teardown of the overlay takes.
// Single-threaded; part of the monitor: no Abseil, no heap.
#pragma once

namespace berth::shim::monitor {

// Unmounts everything but "/" in `mount_ns_fd`, newest first, and returns to `own_mount_ns_fd`.
// `mountinfo_fd` lists that namespace. Nothing propagates: mounts that the container made on a
// shared volume stay on the host, as they would at the kernel's own teardown.
// The number of mounts that remain, -1 when the namespace could not be entered.
int DetachVolumes(int mount_ns_fd, int mountinfo_fd, int own_mount_ns_fd);

// In `text` (mountinfo lines), the mount point of the last line that is not "/"; decoded in place,
// NUL-terminated; its line and what follows is cut off. nullptr: there is none.
char* TakeLastMountPoint(char* text);

}  // namespace berth::shim::monitor

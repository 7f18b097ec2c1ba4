// A directory's content into another file system, for tmpfs with "tmpcopyup". Part of shim/child.
#pragma once

namespace berth::shim::child {

// Copies what is in directory `from` into directory `to` (fds; O_PATH will do): files, directories,
// symbolic links, devices and FIFOs with owner, mode and times; not sockets, extended attributes or
// hard links as such. With `with_root` the directory itself gets owner and mode of `from`.
// 0 or -errno.
int CopyUp(int from, int to, bool with_root);

}  // namespace berth::shim::child

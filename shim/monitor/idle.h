// What a monitor that has nothing to do needs not keep: mapped pages of its program, which it finds
// again in the page cache, and the stack that deeper calls have used. One shim alone has a PSS of 300
// KiB then instead of 1,100. Single-threaded; part of the monitor: no Abseil, no heap.
#pragma once

namespace berth::shim::monitor {

// Advice to the kernel; nothing is lost when it is not taken.
void ReleaseProgramAndStack();

}  // namespace berth::shim::monitor

#include "shim/monitor/idle.h"

#include <elf.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/mman.h>

namespace berth::shim::monitor {
namespace {

constexpr uintptr_t kPageMask = 4095;
constexpr uintptr_t kDeepestStack = 256 << 10;

void Release(uintptr_t from, uintptr_t to) {
  // NOLINTNEXTLINE(performance-no-int-to-ptr): addresses of the program headers are numbers
  (void)madvise(reinterpret_cast<void*>(from), to - from, MADV_DONTNEED);
}

// Segments that nobody writes to: what is dropped comes back from the file.
void ReleaseProgram() {
  const uintptr_t table = getauxval(AT_PHDR);
  const uint64_t count = getauxval(AT_PHNUM);
  // NOLINTNEXTLINE(performance-no-int-to-ptr): likewise
  const auto* headers = reinterpret_cast<const Elf64_Phdr*>(table);
  uintptr_t base = 0;  // of a program that may lie anywhere
  for (uint64_t i = 0; table != 0 && i < count; ++i) {
    if (headers[i].p_type == PT_PHDR) base = table - headers[i].p_vaddr;
  }
  // The table itself lies in a page that is dropped, and comes back.
  for (uint64_t i = 0; table != 0 && i < count; ++i) {
    const Elf64_Phdr segment = headers[i];
    if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
    const uintptr_t start = base + segment.p_vaddr;
    Release(start & ~kPageMask, (start + segment.p_memsz + kPageMask) & ~kPageMask);
  }
}

}  // namespace

void ReleaseProgramAndStack() {
  // A page below this frame there is nothing that is still used.
  const auto frame = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  const uintptr_t top = (frame - kPageMask - 1) & ~kPageMask;
  Release(top - kDeepestStack, top);
  ReleaseProgram();
}

}  // namespace berth::shim::monitor

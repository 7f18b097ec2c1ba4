// Text into a buffer that the caller knows to be large enough: what printf would do without its
// heap. Each returns the end of what it wrote; no NUL is written. Part of the monitor: no Abseil.
#pragma once

#include <stdint.h>
#include <string.h>

namespace berth::shim::monitor {

inline char* PutText(char* p, const char* text) {
  const size_t size = strlen(text);
  memcpy(p, text, size);  // NOLINT(bugprone-not-null-terminated-result): more text follows
  return p + size;
}

inline char* PutNumber(char* p, uint64_t value) {
  char digits[20];
  int n = 0;
  do {
    digits[n++] = static_cast<char>('0' + value % 10);
  } while ((value /= 10) != 0);
  while (n > 0) *p++ = digits[--n];
  return p;
}

}  // namespace berth::shim::monitor

#!/bin/sh
# check_symbols.sh ARCHIVE...: fails when the monitor pulls in what it must do without: Abseil, JSON,
# protobuf, C++ exceptions, RTTI, iostreams, or a heap.
set -eu
found=$(nm -C -u --no-sort "$@" | awk '$1 == "U" { $1 = ""; print substr($0, 2) }' | sort -u |
  grep -E 'absl|nlohmann|google::|std::|operator (new|delete)|__cxa_|__gxx_|_Unwind|typeinfo|vtable|^(malloc|calloc|realloc|free|printf|snprintf|fopen|strdup)$' || true)
if [ -n "$found" ]; then
  echo "the monitor must not use:" >&2
  echo "$found" >&2
  exit 1
fi

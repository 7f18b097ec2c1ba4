#!/bin/sh
# check_symbols.sh ARCHIVE ALLOWED: fails when the archive needs a symbol that is neither its own
# nor in the list. A new name in the list must be async-signal-safe and must not allocate.
set -eu
used=$(nm -u "$1" | awk 'NF == 2 && $1 == "U" {print $2}' | sort -u)
[ -n "$used" ]
own=$(nm --defined-only "$1" | awk 'NF == 3 {print $3}' | sort -u)
bad=0
for symbol in $used; do
  echo "$own" | grep -qxF -e "$symbol" && continue
  grep -qxF -e "$symbol" "$2" && continue
  echo "not allowed between clone and exec: $symbol"
  bad=1
done
exit $bad

# The lanes of tests/run, one function each, and the JUnit plumbing. Sourced; needs the repository
# root as working directory.

# build_preset PRESET [TARGET...]: configures once and builds.
build_preset() {
  local preset=$1
  shift
  local launcher=()
  command -v ccache >/dev/null && launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  [[ -f build/$preset/build.ninja ]] ||
    cmake --preset "$preset" "${launcher[@]}" >"build/reports/cmake-$preset.log" 2>&1 ||
    { cat "build/reports/cmake-$preset.log" >&2; return 1; }
  local started=$SECONDS
  ninja -C "build/$preset" "$@" >"build/reports/build-$preset.log" 2>&1 ||
    { grep -vE '^\[[0-9]+/' "build/reports/build-$preset.log" | head -80 >&2; return 1; }
  echo "build ($preset): $((SECONDS - started)) s"
}

# run_gtests LANE PROGRAM...: runs each program, prints its failures, joins the reports.
run_gtests() {
  local lane=$1 program name status=0
  shift
  rm -rf "build/reports/$lane.d"
  mkdir -p "build/reports/$lane.d"
  for program in "$@"; do
    name=$(basename "$program")
    local log=build/reports/$lane.d/$name.log xml=build/reports/$lane.d/$name.xml
    if [[ ! -x $program ]]; then  # a script that ctest runs: one case
      if ctest --test-dir "$(dirname "$(dirname "$program")")" -R "^$name\$" --output-on-failure \
        >"$log" 2>&1; then
        case_junit "$xml" "$name" "$name" pass
      else
        status=1
        tail -20 "$log"
        case_junit "$xml" "$name" "$name" fail "see $log"
      fi
      continue
    fi
    if timeout 1800 "$program" --gtest_output="xml:$xml" >"$log" 2>&1; then
      :
    else
      local code=$?
      status=1
      echo "--- $name failed (exit $code):"
      grep -E -A12 '^\[  FAILED|Failure$|ERROR: |WARNING: ThreadSan|terminate called' "$log" |
        head -150 || true
      # A crash before the report counts as one failed case of its own.
      [[ -s $xml ]] || fail_junit "$xml" "$name" "ended with status $code before its report"
    fi
  done
  join_junit "$lane" build/reports/"$lane".d/*.xml
  return "$status"
}

# fail_junit FILE SUITE MESSAGE: a report with one failed case.
fail_junit() {
  printf '<testsuites><testsuite name="%s" tests="1" failures="1"><testcase name="%s" classname="%s"><failure message="%s"/></testcase></testsuite></testsuites>\n' \
    "$2" "$2" "$2" "$3" >"$1"
}

# case_junit FILE SUITE NAME STATUS [MESSAGE]: one case; STATUS pass, fail or skip.
case_junit() {
  local inner=""
  [[ $4 == fail ]] && inner="<failure message=\"${5:-failed}\"/>"
  [[ $4 == skip ]] && inner="<skipped message=\"${5:-}\"/>"
  printf '<testsuites><testsuite name="%s"><testcase name="%s" classname="%s">%s</testcase></testsuite></testsuites>\n' \
    "$2" "$3" "$2" "$inner" >"$1"
}

# join_junit LANE FILE...: one <testsuites> of all; gtest writes each tag on lines of its own.
join_junit() {
  local lane=$1
  shift
  join_junit_into "build/reports/$lane.xml" "$lane" "$@"
}

# join_junit_into TARGET NAME FILE...
join_junit_into() {
  local target=$1 name=$2
  shift 2
  {
    echo '<?xml version="1.0" encoding="UTF-8"?>'
    echo "<testsuites name=\"$name\">"
    sed -E -e 's#<\?xml[^>]*\?>##' -e 's#</?testsuites[^>]*>##g' "$@"
    echo '</testsuites>'
  } >"$target.new"
  mv "$target.new" "$target"
}

# count_junit FILE: "passed failed skipped" by <testcase>.
count_junit() {
  [[ -f $1 ]] || { echo "0 0 0"; return; }
  awk '
    { text = text $0 "\n" }
    END {
      n = split(text, cases, /<testcase /)
      for (i = 2; i <= n; i++) {
        if (cases[i] ~ /<failure|<error/) failed++
        else if (cases[i] ~ /<skipped/ || cases[i] ~ /^[^>]*status="notrun"/) skipped++
        else passed++
      }
      print passed + 0, failed + 0, skipped + 0
    }' "$1"
}

# gtests LABEL PRESET: the programs that ctest knows by that label.
gtests() {
  ctest --test-dir "build/$2" -N -L "^$1\$" 2>/dev/null |
    sed -nE "s#^ *Test +\#[0-9]+: ([a-z0-9_]+)\$#build/$2/tests/\1#p"
}

lane_unit() {
  build_preset dev || { fail_junit build/reports/unit.xml unit "the build failed"; return 1; }
  local programs
  mapfile -t programs < <(gtests unit dev; ((EUID == 0)) && gtests root dev)
  run_gtests unit "${programs[@]}"
}

lane_e2e() {
  build_preset dev || { fail_junit build/reports/e2e.xml e2e "the build failed"; return 1; }
  local programs
  mapfile -t programs < <(gtests e2e dev)
  run_gtests e2e "${programs[@]}"
}

# Wire compatibility with the published Go module; our black-box suite; critest where one is in PATH.
lane_conformance() {
  local dir=build/reports/conformance.d status=0 halves=()
  build_preset dev || { fail_junit build/reports/conformance.xml conformance "the build failed"; return 1; }
  rm -rf "$dir"
  mkdir -p "$dir"
  if ! command -v go >/dev/null; then
    case_junit "$dir/wire.xml" wire DescriptorEqualsCriApi skip "no Go >= 1.26 in PATH"
  elif tests/wire/run >"$dir/wire.log" 2>&1; then
    case_junit "$dir/wire.xml" wire DescriptorEqualsCriApi pass
  else
    cat "$dir/wire.log"
    case_junit "$dir/wire.xml" wire DescriptorEqualsCriApi fail "see build/reports/conformance.d/wire.log"
  fi
  if ! command -v go >/dev/null || ((EUID != 0)); then
    case_junit "$dir/suite.xml" cri Suite skip "needs root and Go >= 1.26 in PATH"
    case_junit "$dir/critest.xml" critest Whole skip "needs root, critest and Go >= 1.26 in PATH"
  else
    halves=(suite)
    if command -v critest >/dev/null; then
      halves+=(critest)
    else
      case_junit "$dir/critest.xml" critest Whole skip "no critest in PATH"
    fi
    tests/conformance/run "$dir" "${halves[@]}" || status=1
    local half
    for half in "${halves[@]}"; do
      [[ -s $dir/$half.xml ]] || fail_junit "$dir/$half.xml" "$half" "ended without a report"
    done
    # Not a case of either: what the daemon left behind, or a half that ended badly.
    ((status == 0)) || grep -qE '<failure' "$dir"/{suite,critest}.xml ||
      fail_junit "$dir/node.xml" node "the run failed outside its cases: see its output"
  fi
  join_junit conformance "$dir"/*.xml
  return "$status"
}

# clang-tidy and clang-format over the files of the last commit; over all with BERTH_TIDY_ALL=1.
lane_tidy() {
  build_preset dev || { fail_junit build/reports/tidy.xml tidy "the build failed"; return 1; }
  local dir=build/reports/tidy.d base files status=0
  rm -rf "$dir"
  mkdir -p "$dir"
  base=${BERTH_TIDY_BASE:-$(git rev-parse -q --verify HEAD~1 || true)}
  if [[ ${BERTH_TIDY_ALL:-} == 1 ]]; then
    mapfile -t files < <(git ls-files -- '*.cc' '*.h')
  elif [[ -z $base ]]; then
    case_junit "$dir/none.xml" tidy Tidy skip "a checkout without history: no commit to compare with"
    join_junit tidy "$dir"/*.xml
    return 0
  else
    mapfile -t files < <(git diff --name-only --diff-filter=d "$base" -- '*.cc' '*.h')
  fi
  if ((${#files[@]} == 0)); then
    case_junit "$dir/none.xml" tidy NoSourceChanged pass
  else
    if clang-format-14 --dry-run -Werror "${files[@]}" >"$dir/format.log" 2>&1; then
      case_junit "$dir/format.xml" tidy Format pass
    else
      head -40 "$dir/format.log"
      case_junit "$dir/format.xml" tidy Format fail "clang-format-14 -i is needed"
      status=1
    fi
    local sources=()
    for file in "${files[@]}"; do [[ $file == *.cc ]] && sources+=("$file"); done
    if ((${#sources[@]} == 0)) ||
      printf '%s\n' "${sources[@]}" |
      timeout 2400 xargs -P2 -n1 clang-tidy-14 --quiet -p build/dev >"$dir/tidy.log" 2>&1; then
      case_junit "$dir/tidy.xml" tidy Tidy pass
    else
      grep -E 'error:' "$dir/tidy.log" | sort -u | head -60
      case_junit "$dir/tidy.xml" tidy Tidy fail "see build/reports/tidy.d/tidy.log"
      status=1
    fi
  fi
  join_junit tidy "$dir"/*.xml
  return "$status"
}

# skip_grpc REPORTS PROGRAMS: takes the programs that use gRPC out of the array. Debian's gRPC is not
# built with TSan, which then takes each hand-over between its threads for a race.
skip_grpc() {
  local -n skipped_reports=$1 chosen=$2
  local program name kept=() dir=build/reports/sanitize.d
  mkdir -p "$dir"
  for program in "${chosen[@]}"; do
    if ! ldd "$program" 2>/dev/null | grep -q libgrpc; then
      kept+=("$program")
      continue
    fi
    name=$(basename "$program")
    case_junit "$dir/tsan-$name.xml" tsan "$name" skip "gRPC is not instrumented"
    skipped_reports+=("$dir/tsan-$name.xml")
  done
  chosen=("${kept[@]}")
}

# The unit and root tests again under ASan + UBSan and TSan; on demand.
lane_sanitize() {
  local preset status=0 programs
  rm -rf build/reports/sanitize.d
  export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1
  export LSAN_OPTIONS=suppressions=$PWD/tests/lib/lsan.supp TSAN_OPTIONS=suppressions=$PWD/tests/lib/tsan.supp
  local reports=()
  for preset in asan-ubsan tsan; do
    build_preset "$preset" || { fail_junit build/reports/sanitize.xml sanitize "$preset: the build failed"; return 1; }
    mapfile -t programs < <(gtests unit "$preset"; gtests root "$preset")
    [[ $preset == tsan ]] && skip_grpc reports programs
    run_gtests "sanitize-$preset" "${programs[@]}" || status=1
    reports+=("build/reports/sanitize-$preset.xml")
  done
  join_junit sanitize "${reports[@]}"
  return "$status"
}

# The lane oci: berth-oci as others use a low-level runtime (tests/oci/README.md). Sourced by
# tests/run; needs the repository root as working directory.

# install_for_oci PACKAGE...: what only this lane needs; fails when it cannot be had.
install_for_oci() {
  local package missing=() log=build/reports/oci-apt.log
  for package in "$@"; do
    [[ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" == installed ]] ||
      missing+=("$package")
  done
  ((${#missing[@]} == 0)) && return 0
  local install=(apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "${missing[@]}")
  DEBIAN_FRONTEND=noninteractive "${install[@]}" >"$log" 2>&1 && return 0
  apt-get update -qq >>"$log" 2>&1
  DEBIAN_FRONTEND=noninteractive "${install[@]}" >>"$log" 2>&1
}

# oci_part DIR PART [PACKAGE...]: runs oci_PART DIR, which writes DIR/PART.xml, with its packages.
oci_part() {
  local dir=$1 part=$2 started=$SECONDS status=0
  shift 2
  if ((EUID != 0)); then
    case_junit "$dir/$part.xml" oci "$part" skip "needs root"
    return 0
  fi
  if [[ $part == runtime-tools ]] && ! command -v go >/dev/null; then
    case_junit "$dir/$part.xml" oci "$part" skip "no Go >= 1.26 in PATH"
    return 0
  fi
  if ! install_for_oci "$@"; then
    case_junit "$dir/$part.xml" oci "$part" fail "cannot install $*: see build/reports/oci-apt.log"
    return 1
  fi
  "oci_$part" "$dir" || status=1
  [[ -s $dir/$part.xml ]] || case_junit "$dir/$part.xml" oci "$part" fail "ended without a report"
  echo "$part took $((SECONDS - started)) s"
  return "$status"
}

oci_runtime-tools() { tests/oci/runtime_tools "$1"; }
oci_podman() { tests/oci/engine podman "$1"; }
oci_docker() { tests/oci/engine docker "$1"; }

oci_cycles() {
  local count=${BERTH_OCI_CYCLES:-30}
  if tests/oci/cycles "$count" >"$1/cycles.log" 2>&1; then
    case_junit "$1/cycles.xml" oci "CyclesLeaveNothing" pass
    cat "$1/cycles.log"
  else
    cat "$1/cycles.log"
    case_junit "$1/cycles.xml" oci "CyclesLeaveNothing" fail "see cycles.log"
    return 1
  fi
}

lane_oci() {
  local dir=build/reports/oci.d status=0
  build_preset dev berth-oci || { fail_junit build/reports/oci.xml oci "the build failed"; return 1; }
  rm -rf "$dir"
  mkdir -p "$dir"
  oci_part "$dir" cycles || status=1
  oci_part "$dir" podman podman conmon || status=1
  oci_part "$dir" docker docker.io || status=1
  oci_part "$dir" runtime-tools runc || status=1
  join_junit oci "$dir"/*.xml
  return "$status"
}

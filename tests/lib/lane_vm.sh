# Lane vm: suites inside an emulated machine with a Debian kernel, systemd and cgroup v2 alone. See
# tests/vm/README.md. Sourced by tests/run after lanes.sh.
#
#   BERTH_VM_SUITES   which, of smoke, unit, e2e; default smoke
#   BERTH_VM_KERNEL   6.12 (default) or 6.1
#   BERTH_VM_DRIVER   cgroup driver that the suites' daemons use: cgroupfs (default) or systemd
#   BERTH_VM_FILTER   a --gtest_filter, for work on one test
#   BERTH_VM_MINUTES  ends a guest that takes longer; default 15 for smoke, 180 for others

# Not in deploy/build-deps: no other lane needs them.
vm_packages=(qemu-system-x86 mmdebstrap kmod e2fsprogs busybox-static xz-utils)

install_vm_packages() {
  local package missing=()
  for package in "${vm_packages[@]}"; do
    [[ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" == installed ]] ||
      missing+=("$package")
  done
  ((${#missing[@]} == 0)) && return
  echo "installing ${#missing[@]} Debian packages: ${missing[*]}"
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# run_vm_suite SUITE ROOT KERNEL: one guest; its reports land in build/reports/vm.d/SUITE.
run_vm_suite() {
  local suite=$1 dir=build/reports/vm.d/$1 started=$SECONDS minutes=180
  [[ $suite == smoke ]] && minutes=15
  mkdir -p "$dir"
  rm -f build/vm/results
  truncate -s 512M build/vm/results
  tests/vm/boot "$2" "$3" build/vm/payload.ext4 build/vm/results "$PWD" \
    "${BERTH_VM_MINUTES:-$minutes}" "berth.suite=$suite" "berth.driver=${BERTH_VM_DRIVER:-cgroupfs}" \
    "berth.slowdown=${BERTH_TEST_SLOWDOWN:-10}" ${BERTH_VM_FILTER:+"berth.filter=$BERTH_VM_FILTER"} \
    >"$dir/console.log" 2>&1 || echo "the guest ended with status $?"
  tr -d '\r' <"$dir/console.log" | sed -n '/^guest: /,$p' | head -300
  tar -C "$dir" -xf build/vm/results 2>/dev/null || true
  rm -f build/vm/results
  if [[ ! -f $dir/complete ]]; then
    tail -20 "$dir/console.log"
    fail_junit "$dir/guest.xml" "vm.$suite" "the guest ended before the suite did: see $dir/console.log"
  fi
  echo "vm $suite (kernel ${BERTH_VM_KERNEL:-6.12}, ${BERTH_VM_DRIVER:-cgroupfs}):" \
    "booted in $(cat "$dir/boot_seconds" 2>/dev/null || echo ?) s," \
    "$(((SECONDS - started + 30) / 60)) min in all"
}

lane_vm() {
  local dir=build/reports/vm.d suites suite images targets=()
  read -ra suites <<<"${BERTH_VM_SUITES:-smoke}"
  rm -rf "$dir"
  mkdir -p "$dir" build/vm
  install_vm_packages
  [[ ${suites[*]} == smoke ]] && targets=(berthd berth-shim berth-image berthctl)
  build_preset dev "${targets[@]}" || { fail_junit build/reports/vm.xml vm "the build failed"; return 1; }
  local started=$SECONDS
  images=$(tests/vm/build_image "${BERTH_VM_KERNEL:-6.12}") ||
    { fail_junit build/reports/vm.xml vm "the guest's image was not built"; return 1; }
  tests/vm/make_payload build/vm/payload.ext4 "${suites[@]}" ||
    { fail_junit build/reports/vm.xml vm "the payload was not built"; return 1; }
  echo "images: $((SECONDS - started)) s"
  for suite in "${suites[@]}"; do
    # shellcheck disable=SC2086  # two words: the root's and the kernel's directory
    run_vm_suite "$suite" $images
  done
  # The skips were held against the list inside, where its probes see the guest's kernel.
  : >"$dir/skips_checked"
  join_junit vm "$dir"/*/*.xml
}

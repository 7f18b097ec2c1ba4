# Sourced by build_busybox and fetch_nginx: `cache`, and an apt that knows Debian's own archive in
# directories of its own, so that the system's lists stay as they are.
cache=${BERTH_TEST_CACHE:-${HOME:-/root}/.cache/berth-tests}
mkdir -p "$cache"

# apt_private DIRECTORY TYPE: makes the directories and reads the lists; TYPE is deb or deb-src.
apt_private() {
  local codename mirror=${BERTH_TEST_MIRROR:-http://deb.debian.org/debian}
  codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
  apt_directory=$1
  mkdir -p "$1"/{lists/partial,cache/archives/partial,parts}
  echo "$2 [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $codename main" \
    >"$1/sources.list"
  # Packages come as root here, into a directory that _apt cannot read.
  apt_get update -qq >&2
}

apt_get() {
  apt-get -o APT::Sandbox::User=root -o Dir::Etc::SourceList="$apt_directory/sources.list" \
    -o Dir::Etc::SourceParts="$apt_directory/parts" -o Dir::State::Lists="$apt_directory/lists" \
    -o Dir::Cache="$apt_directory/cache" "$@"
}

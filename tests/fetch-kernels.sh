#!/bin/sh
# Fetches the kernels that `policyc verify --kernel` is tested on: Debian's
# cloud kernels 6.1 and 6.12, unpacked and not installed.
#
#   tests/fetch-kernels.sh [FOLDER]      default: /var/cache/policyc-kernels
#
# The result is FOLDER/6.1/boot/vmlinuz-* and FOLDER/6.12/boot/vmlinuz-*. Run
# again it fetches only what is missing. The system's package sources stay as
# they are: apt works on lists of its own in a temporary folder.
#
# Needs apt, dpkg-deb and Debian's archive keys (package debian-archive-keyring).
# POLICYC_DEBIAN_MIRROR and POLICYC_DEBIAN_SECURITY_MIRROR name other mirrors.
set -eu

folder=${1:-/var/cache/policyc-kernels}
mirror=${POLICYC_DEBIAN_MIRROR:-http://deb.debian.org/debian}
security=${POLICYC_DEBIAN_SECURITY_MIRROR:-http://deb.debian.org/debian-security}
keys=/usr/share/keyrings/debian-archive-keyring.gpg

# Meta package of each series; the image is what it depends on today.
series="6.1:linux-image-cloud-amd64 6.12:linux-image-6.12-cloud-amd64"

image_of() { find "$folder/$1/boot" -name 'vmlinuz-*' 2>/dev/null | sort | tail -n 1; }

missing=
for entry in $series; do
    image=$(image_of "${entry%%:*}")
    if [ -n "$image" ]; then echo "have $image"; else missing="$missing $entry"; fi
done
[ -n "$missing" ] || exit 0

for tool in apt-get apt-cache dpkg-deb; do
    command -v "$tool" >/dev/null || { echo "fetch-kernels: needs $tool" >&2; exit 2; }
done
[ -r "$keys" ] || { echo "fetch-kernels: needs $keys (package debian-archive-keyring)" >&2; exit 2; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/archives/partial" "$work/parts" "$work/packages"
: >"$work/status"
cat >"$work/sources.list" <<SOURCES
deb [arch=amd64 signed-by=$keys] $mirror bookworm main
deb [arch=amd64 signed-by=$keys] $security bookworm-security main
SOURCES

private_apt() {
    tool=$1
    shift
    "$tool" -q \
        -o Dir::Etc::SourceList="$work/sources.list" \
        -o Dir::Etc::SourceParts="$work/parts" \
        -o Dir::State="$work" -o Dir::State::Lists="$work/lists" \
        -o Dir::State::Status="$work/status" \
        -o Dir::Cache="$work" -o Dir::Cache::Archives="$work/archives" \
        -o APT::Architecture=amd64 -o APT::Sandbox::User=root "$@"
}

private_apt apt-get update >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 2; }

for entry in $missing; do
    version=${entry%%:*}
    package=$(private_apt apt-cache depends --important "${entry#*:}" |
        sed -n 's/^ *Depends: *\(linux-image-[^ ]*\)$/\1/p' | head -n 1)
    [ -n "$package" ] || { echo "fetch-kernels: no image for ${entry#*:}" >&2; exit 2; }
    (cd "$work/packages" && private_apt apt-get download "$package" >>"$work/log" 2>&1) ||
        { cat "$work/log" >&2; exit 2; }

    # Unpacked beside the target and renamed, so that a half-done run leaves nothing behind.
    mkdir -p "$folder"
    rm -rf "$folder/.$version.new" "$folder/$version"
    mkdir "$folder/.$version.new"
    dpkg-deb -x "$work/packages/$package"_*.deb "$folder/.$version.new"
    mv "$folder/.$version.new" "$folder/$version"
    echo "fetched $(image_of "$version")"
done

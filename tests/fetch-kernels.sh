#!/bin/sh
# Fetches the kernels that `policyc verify --kernel` is tested on: Debian's
# cloud kernels 6.1 and 6.12, unpacked and not installed.
#
#   tests/fetch-kernels.sh [FOLDER]      default: /var/cache/policyc-kernels
#
# The result is FOLDER/6.1/boot/vmlinuz-* and FOLDER/6.12/boot/vmlinuz-*. Run
# again it fetches only what is missing. Packages come from the system's own
# sources (Debian 12 has both series); nothing is installed.
set -eu

folder=${1:-/var/cache/policyc-kernels}

# Meta package of each series; the image is what it depends on today.
series="6.1:linux-image-cloud-amd64 6.12:linux-image-6.12-cloud-amd64"

fail() { echo "fetch-kernels: $*" >&2; exit 2; }
image_of() { find "$folder/$1/boot" -name 'vmlinuz-*' 2>/dev/null | sort | tail -n 1; }

missing=
for entry in $series; do
    image=$(image_of "${entry%%:*}")
    if [ -n "$image" ]; then echo "have $image"; else missing="$missing $entry"; fi
done
[ -n "$missing" ] || exit 0

for tool in apt-get apt-cache dpkg-deb; do
    command -v "$tool" >/dev/null || fail "needs $tool"
done

mkdir -p "$folder"
work=$(mktemp -d "$folder/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
# Where apt downloads as another user, that user must be able to write here.
chmod 755 "$work"

apt-get -q update >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "apt-get update failed"; }

for entry in $missing; do
    version=${entry%%:*}
    package=$(apt-cache depends --important "${entry#*:}" 2>/dev/null |
        sed -n 's/^ *Depends: *\(linux-image-[^ ]*\)$/\1/p' | head -n 1)
    [ -n "$package" ] || fail "the system's package sources have no ${entry#*:}"
    case $package in linux-image-"$version".*) ;; *) fail "${entry#*:} is $package, not $version" ;; esac

    (cd "$work" && apt-get -q -o APT::Sandbox::User=root download "$package" >>log 2>&1) ||
        { cat "$work/log" >&2; fail "cannot download $package"; }
    # Unpacked beside the target and renamed, so that a half-done run leaves nothing behind.
    mkdir "$work/$version"
    dpkg-deb -x "$work/$package"_*.deb "$work/$version"
    rm -rf "${folder:?}/$version"
    mv "$work/$version" "$folder/$version"
    echo "fetched $(image_of "$version")"
done

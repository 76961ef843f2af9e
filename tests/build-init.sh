#!/bin/sh
# Builds a static program that runs as init in virtual machines, and prints its
# path.
#
#   tests/build-init.sh [PROGRAM]
#
# PROGRAM is `policyc-init`, which loads programs for `policyc verify --kernel`, or
# `vm-guest`, in which tests run the runtime on other kernels.
#
# Static means musl where that target is installed (rustup target add
# x86_64-unknown-linux-musl), else glibc linked statically.
set -eu

program=${1:-policyc-init}
case $program in
policyc-init) package="--package policyc-verify --no-default-features" ;;
vm-guest)
    package="--package policyc-tests"
    # Linking takes longer with it than the program runs.
    export CARGO_PROFILE_RELEASE_LTO=off
    ;;
*) echo "build-init: no program $program" >&2; exit 2 ;;
esac

cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
target_dir=${CARGO_TARGET_DIR:-target}

build() {
    # shellcheck disable=SC2086 # several words
    "$cargo" build --quiet --release $package --bin "$program" --target "$1" >&2
    path="$target_dir/$1/release/$program"
    case $path in /*) echo "$path" ;; *) echo "$PWD/$path" ;; esac
}

# Asked of the compiler, because rustup may not be there.
installed() { [ -d "$(rustc --print sysroot)/lib/rustlib/$1/lib" ]; }

if installed x86_64-unknown-linux-musl; then
    build x86_64-unknown-linux-musl
else
    RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" build x86_64-unknown-linux-gnu
fi

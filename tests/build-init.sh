#!/bin/sh
# Builds the static program that runs as init in the virtual machines of
# `policyc verify --kernel`, and prints its path.
#
#   tests/build-init.sh
#
# Static means musl where that target is installed (rustup target add
# x86_64-unknown-linux-musl), else glibc linked statically.
set -eu

cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
target_dir=${CARGO_TARGET_DIR:-target}

build() {
    "$cargo" build --quiet --release --package policyc-verify --bin policyc-init \
        --no-default-features --target "$1" >&2
    path="$target_dir/$1/release/policyc-init"
    case $path in /*) echo "$path" ;; *) echo "$PWD/$path" ;; esac
}

# Asked of the compiler, because rustup may not be there.
installed() { [ -d "$(rustc --print sysroot)/lib/rustlib/$1/lib" ]; }

if installed x86_64-unknown-linux-musl; then
    build x86_64-unknown-linux-musl
else
    RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static" build x86_64-unknown-linux-gnu
fi

#!/usr/bin/env bash
# Compiles the kernels for 64-bit ARM and runs their tests there, under qemu. Where the compiler's target,
# Zig or qemu cannot be had, prints "not run: ..." and exits 0; a test that fails exits 1.
#
#   scripts/aarch64.sh [FILTER...]        # of test names
#
# Takes the target from rustup, Zig as scripts/dist.sh does, and qemu-user with ARM's C library from
# Debian's or Ubuntu's packages, where they are or where it may install them (root).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/dist_tools.sh
. scripts/dist_tools.sh
target=aarch64-unknown-linux-gnu
library=/usr/aarch64-linux-gnu

not_run() {
  echo "not run: the kernels on $target: $1"
  exit 0
}

has_target() {
  [ -d "$(rustc --print sysroot)/lib/rustlib/$target" ] || rustup target add "$target" >&2
}

has_qemu() {
  command -v qemu-aarch64 >/dev/null && [ -e "$library/lib/ld-linux-aarch64.so.1" ]
}

install_qemu() {
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    return 1
  fi
  echo 'Installing qemu-user and libc6-arm64-cross' >&2
  { apt-get update && apt-get install -y --no-install-recommends qemu-user libc6-arm64-cross; } \
    >/dev/null 2>&1
}

has_target || not_run "rustup cannot add the target"
dist_tools || not_run "Zig cannot be installed"
has_qemu || install_qemu || true
has_qemu || not_run "no qemu-aarch64 with $library (Debian, Ubuntu: qemu-user, libc6-arm64-cross)"

export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L $library"
cargo-zigbuild test --locked --package vae-fidelity-kernels --lib --target "$target" -- "$@"

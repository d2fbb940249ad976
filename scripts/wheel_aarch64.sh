#!/usr/bin/env bash
# Builds the Python package for 64-bit ARM and tries it there, under qemu: the command and the API judge a
# photograph. Where qemu, Debian's Python for ARM or numpy's wheel cannot be had, prints "not run: ..." and
# exits 0; a wheel that is wrong exits 1.
#
#   scripts/wheel_aarch64.sh [WHEEL]      # without WHEEL, builds one
#
# Takes qemu-user from Debian's or Ubuntu's packages where it may install them (root), and unpacks Python
# and its libraries into the target directory; nothing else of the system changes.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=aarch64-unknown-linux-gnu
work=$(python3 scripts/vae_fidelity_tools/checkout.py target-directory)/wheel-aarch64
# What Python 3.11 of Debian 12 needs to start and to import numpy.
packages=(python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libexpat1 zlib1g libssl3 libffi8
  libc6 libgcc-s1 libstdc++6 libbz2-1.0 liblzma5 libuuid1 libcrypt1)

not_run() {
  echo "not run: the Python package on $target: $1"
  exit 0
}

has_qemu() {
  command -v qemu-aarch64 >/dev/null || {
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null &&
      { apt-get update && apt-get install -y --no-install-recommends qemu-user; } >/dev/null 2>&1
  }
}

# Into a folder of its own: apt reads lists of ARM's packages without the system learning of them.
fetch_python() {
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
  local state=$work/apt
  mkdir -p "$state/lists/partial" "$state/cache/archives/partial" "$work/debs"
  : >"$state/status"
  local apt=(-o "Dir::State=$state" -o "Dir::State::status=$state/status" -o "Dir::Cache=$state/cache"
    -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=root)
  apt-get "${apt[@]}" update >/dev/null 2>&1 || return 1
  (cd "$work/debs" && apt-get "${apt[@]}" download "${packages[@]}" >/dev/null 2>&1) || return 1
  local package
  for package in "$work"/debs/*.deb; do
    dpkg-deb -x "$package" "$work/root"
  done
}

wheel=${1:-}
if [ -z "$wheel" ]; then
  rustup target add "$target" >&2 || not_run 'rustup cannot add the target'
  rm -f dist/vae_fidelity-*aarch64.whl
  scripts/wheel.sh "$target"
  wheel=$(echo dist/vae_fidelity-*aarch64.whl)
fi
has_qemu || not_run 'qemu-aarch64 cannot be installed'
rm -rf "$work" && mkdir -p "$work/site"
fetch_python || not_run "Debian's Python 3.11 for ARM cannot be fetched"
python3 -m pip --disable-pip-version-check install --quiet --no-deps --only-binary=:all: --python-version 3.11 \
  --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 \
  --target "$work/site" 'numpy<2.5' || not_run "numpy's wheel for ARM cannot be fetched"
python3 -m zipfile --extract "$wheel" "$work/site"

arm=(qemu-aarch64 -L "$work/root" -E "PYTHONPATH=$work/site" "$work/root/usr/bin/python3.11")
"${arm[@]}" -m vae_fidelity check golden/images/astronaut.png --out "$work/decoded.png" --min-psnr 27
"${arm[@]}" - <<'PYTHON'
import platform

import vae_fidelity

assert platform.machine() == "aarch64", platform.machine()
report = vae_fidelity.check("golden/images/astronaut.png", width=64, height=64)
assert report.verdict == "pass" and report.picture.shape == (64, 64, 3), report
broken = vae_fidelity.check("golden/images/astronaut.png", width=64, height=64, latents=report.latents_array * 2)
assert broken.findings[0].code == "scaling-factor-mismatch", broken
print("the API passes on", platform.machine())
PYTHON
echo "$wheel passes"

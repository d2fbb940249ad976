#!/usr/bin/env bash
# Builds the Python package into the git-ignored dist/: a wheel for every CPython from 3.10 on.
#
#   scripts/wheel.sh [TARGET]            # Linux: manylinux 2.28; x86_64-unknown-linux-gnu or aarch64-...
#                                        # macOS, Windows: on that system, with maturin in PATH
#   scripts/wheel.sh --own FOLDER        # for this machine only, unoptimised: what the tests try
#   scripts/wheel.sh --source            # the source distribution
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
max_bytes=20000000
# shellcheck source=scripts/dist_tools.sh
. scripts/dist_tools.sh
export LIBTORCH=/nowhere # nothing in the package may look for it
manifest=(--manifest-path crates/python/Cargo.toml --locked)
host=$(rustc --version --verbose | sed -n 's/^host: //p')

third_parties() { # of the crates that the extension is linked from, for the target
  python3 scripts/dist_archive.py licences "$1" vae-fidelity-python >crates/python/THIRD-PARTY-LICENSES.txt
}

case ${1:-} in
  --own)
    folder=${2:?a folder for the wheel}
    rm -f "$folder"/vae_fidelity-*.whl
    third_parties "$host"
    .venv/bin/maturin build --quiet --profile dev "${manifest[@]}" --compatibility linux --out "$folder"
    exit
    ;;
  --source)
    dist_tools
    third_parties "$host"
    maturin sdist --manifest-path crates/python/Cargo.toml --out dist
    exit
    ;;
esac

target=${1:-$host}
linux=()
case $target in
  *-linux-*)
    dist_tools
    linux=(--zig --compatibility manylinux_2_28)
    ;;
esac
third_parties "$target"
built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
maturin build --profile dist "${manifest[@]}" --target "$target" ${linux[@]+"${linux[@]}"} --out "$built"
wheel=$(echo "$built"/vae_fidelity-*.whl)
mkdir -p dist && cp "$wheel" dist/
wheel=dist/$(basename "$wheel")
size=$(wc -c <"$wheel")
if [ "$size" -gt "$max_bytes" ]; then
  echo "FAILED: $wheel: $size bytes, at most $max_bytes" >&2
  exit 1
fi
echo "$wheel: $size bytes, at most $max_bytes"

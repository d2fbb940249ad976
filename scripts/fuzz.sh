#!/usr/bin/env bash
# Fuzzes what reads strangers' files, one target after the other, each for SECONDS (default 60):
#
#   scripts/fuzz.sh [SECONDS [TARGET...]]
#   scripts/fuzz.sh --check                # only compiles the targets, on any Rust
#
# Installs cargo-fuzz where it is missing. Takes the nightly compiler where rustup has one, else makes
# the present one accept the sanitizers' flags. Starts from tests/fuzz/corpus; what it finds on the
# way, and files that fail, stay in the target directory under fuzz/. Exits 1 when a target failed.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
package=tests/fuzz
work=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
mkdir -p "$work"

# The versions that the crate itself is built with.
cp Cargo.lock "$package/Cargo.lock"

if [ "${1-}" = --check ]; then
  exec cargo check --quiet --manifest-path "$package/Cargo.toml" --target-dir "$work/check"
fi

seconds=${1:-60}
case $seconds in
  '' | *[!0-9]*)
    echo "error: $seconds: expected a number of seconds" >&2
    echo '  next: scripts/fuzz.sh 600 image' >&2
    exit 2
    ;;
esac
shift || true
targets=("$@")
if [ ${#targets[@]} = 0 ]; then
  for file in "$package"/fuzz_targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi

toolchain=()
if command -v rustup >/dev/null && rustup toolchain list | grep -q '^nightly'; then
  toolchain=(+nightly)
else
  export RUSTC_BOOTSTRAP=1
fi

export PATH="$PATH:$work/tools/bin"
if ! command -v cargo-fuzz >/dev/null; then
  env -u RUSTC_BOOTSTRAP cargo install --quiet --locked --root "$work/tools" cargo-fuzz
fi

failed=()
for target in "${targets[@]}"; do
  mkdir -p "$work/corpus/$target" "$work/artifacts/$target"
  dictionary=()
  if [ -f "$package/dictionaries/$target.txt" ]; then
    dictionary=("-dict=$package/dictionaries/$target.txt")
  fi
  # An input may take 10 seconds and 1 GiB; the targets themselves hold memory to a file's size.
  cargo "${toolchain[@]}" fuzz run --fuzz-dir "$package" --target-dir "$work/build" "$target" \
    "$work/corpus/$target" "$package/corpus/$target" -- "-max_total_time=$seconds" \
    -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=1024 -max_len=16384 -print_final_stats=1 \
    "${dictionary[@]}" "-artifact_prefix=$work/artifacts/$target/" || failed+=("$target")
done

if [ ${#failed[@]} != 0 ]; then
  echo "error: these targets failed: ${failed[*]}" >&2
  echo "  next: run one on the file that fails: scripts/fuzz.sh names it above, in $work/artifacts" >&2
  exit 1
fi

#!/usr/bin/env bash
# Every crate as it would be published: none too large, the goldens reach a port that depends on them and
# judge it, and the root's tests pass without libtorch.
#
#   scripts/check_packed.sh TARGET_DIRECTORY [ARGUMENT ...]
#
# TARGET_DIRECTORY has artefacts to build on; the arguments go to the root's tests.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=$(realpath -m "$1")
shift
size_limit=10000000 # of crates.io
crates_limit=75

cd "$root"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf "$target/package"
# What is never published: who writes documentation and releases, and the Python package.
cargo package --workspace --exclude vae-fidelity-book --exclude vae-fidelity-dist \
  --exclude vae-fidelity-python --locked --no-verify \
  --quiet --target-dir "$target"
patches=()
for crate in "$target"/package/*.crate; do
  size=$(wc -c <"$crate")
  echo "$(basename "$crate"): $size bytes, at most $size_limit"
  [ "$size" -le "$size_limit" ]
  tar xzf "$crate" --directory "$work"
  folder=$work/$(basename "$crate" .crate)
  name=$(basename "$folder")
  name=${name%-[0-9]*}
  patches+=("$name = { path = \"$folder\" }")
done
# Nothing may look for libtorch.
export LIBTORCH=/nowhere
# With a table of its own each is its workspace's root: Cargo looks no further up, where somebody's manifest
# may lie.
workspace='[workspace]'

# A port, with the lines that the README gives it.
mkdir -p "$work/port/src"
{
  cat <<'TOML'
[package]
name = "port"
version = "0.0.0"
edition = "2024"

[dependencies]
ndarray = "0.16"

TOML
  # shellcheck disable=SC2016 # a fence of Markdown
  sed -n '/^\[dev-dependencies\]/,/^```/{/^```/d;p}' README.md |
    sed 's/^vae-fidelity-harness = "\(.*\)"$/vae-fidelity-harness = { version = "\1", features = ["tiny", "asymmetric", "wan", "dc", "hunyuan"] }/'
  printf '\n%s\n\n[profile.dev]\nopt-level = 1\ndebug = false\n\n[patch.crates-io]\n' "$workspace"
  printf '%s\n' "${patches[@]}"
} >"$work/port/Cargo.toml"
cat >"$work/port/src/lib.rs" <<'RUST'
#![cfg(test)]

use ndarray::{Array4, ArrayView4};
use vae_fidelity_harness::{Dtype, Encoded, Result, Suite, Vae, VaeConfig};

/// Nothing but zeros, of the right shapes.
struct Zeros(VaeConfig);

impl Vae for Zeros {
    fn config(&self) -> &VaeConfig {
        &self.0
    }

    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn encode(&self, sample: ArrayView4<f32>, _: Option<ArrayView4<f32>>) -> Result<Encoded> {
        let (n, _, h, w) = sample.dim();
        let latents = Array4::zeros((n, self.0.latent_channels(), h / 8, w / 8));
        Ok(Encoded { moments: None, std: None, latents })
    }

    fn decode(&self, latents: ArrayView4<f32>) -> Result<Array4<f32>> {
        let (n, _, h, w) = latents.dim();
        Ok(Array4::zeros((n, 3, 8 * h, 8 * w)))
    }
}

#[test]
fn the_goldens_come_with_the_crate_and_judge() {
    let suite = Suite::builtin().unwrap();
    assert!(suite.cases().len() > 50);
    let report = suite
        .only("sd-small-mode")
        .run(|checkpoint| Ok(Box::new(Zeros(checkpoint.config().clone()))))
        .unwrap();
    let failed: Vec<_> = report.failures().map(|(_, check)| check.tensor.name()).collect();
    assert_eq!(failed, ["latents", "decoded", "end_to_end"], "{report}");
    // Of classes whose goldens are crates of their own.
    for case in ["tiny-small-mode", "asymmetric-small-mode", "wan-small-mode", "qwen-image-2.1-small-mode", "dc-sana-small-mode", "hunyuanimage-small-mode"] {
        let report = Suite::builtin()
            .unwrap()
            .only(case)
            .run(|checkpoint| Ok(Box::new(Zeros(checkpoint.config().clone()))))
            .unwrap();
        let failed: Vec<_> = report.failures().map(|(_, check)| check.tensor.name()).collect();
        assert_eq!(failed, ["latents", "decoded", "end_to_end"], "{report}");
    }
}
RUST
cd "$work/port"
# A crate that compiles C would ask for this compiler.
CC=/nowhere CXX=/nowhere cargo test --quiet --target-dir "$work/target"
crates=$(cargo tree --edges normal,build,dev --prefix none --format '{p}' |
  sed 's/ (.*//' | sort --unique | grep --count --invert-match '^port ')
echo "a port's tests need $crates crates, at most $crates_limit, and no C compiler"
[ "$crates" -le "$crates_limit" ]

# The root's own tests, which find the goldens beside it.
packed=$(find "$work" -maxdepth 1 -name 'vae-fidelity-[0-9]*')
cp -r "$(find "$work" -maxdepth 1 -name 'vae-fidelity-goldens-[0-9]*')" "$packed/golden"
for part in tiny asymmetric wan dc hunyuan; do
  cp -r "$(find "$work" -maxdepth 1 -name "vae-fidelity-goldens-$part-[0-9]*")" "$packed/golden/$part"
done
# The second trained VAE, which is for tests alone and stays in the repository.
cp -r "$root/tests/fixtures/models" "$packed/tests/fixtures/models"
{
  printf '\n%s\n\n[patch.crates-io]\n' "$workspace"
  printf '%s\n' "${patches[@]}" | grep --invert-match '^vae-fidelity = '
} >>"$packed/Cargo.toml"
cd "$packed"
cp "$root/Cargo.lock" .
cargo test --quiet --target-dir "$target" -- "$@"

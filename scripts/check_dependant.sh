#!/usr/bin/env bash
# A crate that depends on the packed vae-fidelity, as from a registry and without libtorch: the goldens
# have to reach its tests, and judge a VAE there.
#
#   scripts/check_dependant.sh path/to/vae-fidelity-VERSION.crate
set -euo pipefail

crate=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
tar xzf "$crate"
mkdir -p port/src
cat >port/Cargo.toml <<TOML
[package]
name = "port"
version = "0.0.0"
edition = "2024"

[dependencies]
ndarray = "0.16"

[dev-dependencies]
vae-fidelity = { path = "$work/$(basename "$crate" .crate)", default-features = false }

[profile.dev]
opt-level = 1
debug = false
TOML
cat >port/src/lib.rs <<'RUST'
#![cfg(test)]

use ndarray::{Array4, ArrayView4};
use vae_fidelity::golden::Suite;
use vae_fidelity::{AutoencoderKLConfig, Dtype, Encoded, Result, Vae};

/// Nothing but zeros, of the right shapes.
struct Zeros(AutoencoderKLConfig);

impl Vae for Zeros {
    fn config(&self) -> &AutoencoderKLConfig {
        &self.0
    }

    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn encode(&self, sample: ArrayView4<f32>, _: Option<ArrayView4<f32>>) -> Result<Encoded> {
        let (n, _, h, w) = sample.dim();
        let latents = Array4::zeros((n, self.0.latent_channels, h / 8, w / 8));
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
}
RUST
LIBTORCH=/nowhere cargo test --quiet --manifest-path port/Cargo.toml --target-dir "$work/target"

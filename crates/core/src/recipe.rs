//! Weights as a function of tensor name and index, so that a full-size model needs no file.
//!
//! An integer hash gives 24 bits, those give `u` in [-1, 1) exactly, and `u` is scaled as a
//! freshly initialized layer would be. Every step is exact or rounds once in f32, so numpy and
//! Rust agree to the bit; `golden/README.md` writes the steps down with eight test values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `recipe.json`: which hash, powers of two that single tensors are multiplied by, and small
/// tensors that are given instead.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Version of this file's layout: 1.
    pub schema_version: u32,
    /// Name of the hash; only `fnv1a64-splitmix64` is known.
    pub hash: String,
    /// Tensor name to factor.
    #[serde(default)]
    pub multiply: BTreeMap<String, f32>,
    /// Tensor name to all of its values, in C order.
    #[serde(default)]
    pub replace: BTreeMap<String, Vec<f32>>,
}

impl Recipe {
    /// The name of the hash that this crate knows.
    pub const HASH: &str = "fnv1a64-splitmix64";

    /// The values of tensor `name` with `shape`, in C order.
    pub fn values(&self, name: &str, shape: &[usize]) -> Vec<f32> {
        if let Some(values) = self.replace.get(name) {
            return values.clone();
        }
        let factor = self.multiply.get(name).copied().unwrap_or(1.0);
        let hash = name_hash(name);
        let fan_in: usize = shape.iter().skip(1).product();
        let spread = (3.0 / fan_in as f64).sqrt() as f32;
        // A variance lies around 1 as a norm's weight does.
        let is_vector_of_weights = name.ends_with(".weight") || name.ends_with(".running_var");
        // The weight of a norm over channels has as many dimensions as what it multiplies.
        let is_norm_weight = name.ends_with(".gamma") || (shape.len() == 1 && is_vector_of_weights);
        (0..shape.iter().product::<usize>() as u64)
            .map(|index| {
                let u = unit(hash, index);
                let value = match shape.len() {
                    _ if is_norm_weight => 1.0 + 0.1 * u,
                    2.. => u * spread,
                    _ => 0.1 * u,
                };
                value * factor
            })
            .collect()
    }
}

/// FNV-1a, 64 bits, of the bytes of `name`.
pub fn name_hash(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The `index`-th output of a splitmix64 generator whose state starts at `seed`.
pub fn scrambled(seed: u64, index: u64) -> u64 {
    let z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The top 24 bits of the hash as a number in [-1, 1): exact in f32.
fn unit(seed: u64, index: u64) -> f32 {
    const TWO_TO_THE_23: f32 = 8_388_608.0;
    (scrambled(seed, index) >> 40) as f32 / TWO_TO_THE_23 - 1.0
}

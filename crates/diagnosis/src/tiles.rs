//! Latents decoded in tiles, as diffusers blends them and with mistakes in the units.

use ndarray::{Array4, ArrayView4};

use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::severity::Severity;
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::tiling::{Splitting, Tiling, UnitMistake};
use vae_fidelity_core::vae::Vae;
use vae_fidelity_files::error::Result;

pub(super) const TILE_BLEND_UNITS: Cause = Cause {
    code: Code::TileBlendUnits,
    severity: Severity::Error,
    title: "tiles are blended in the wrong units",
    meaning: "Overlap in latents taken for pixels, or the reverse: tiles are repeated, cut or \
              blended over the wrong width.",
    rule: "The reference's latents, decoded here in tiles of several sizes, give your picture \
           when they are blended or cut in the wrong unit (at least 27 dB, and 4 dB nearer \
           than the whole), and do not when they are blended as diffusers does.",
    remedy: "count the overlap in latents before decoding, and in pixels (times 8) after",
    diffusers: "update; leave tile_latent_min_size at tile_sample_min_size / 8",
    comfyui: "update; tile_size and overlap are in pixels",
    ports: "one unit a variable: stride and blend in latents times 2^(levels - 1) are pixels",
    sources: &["hao-ai-lab/FastVideo#1181"],
    decided_by: &[DecidedBy::DecodedImage],
};

/// How many sizes of tiles are tried, the largest first: each costs more than one decoding.
const SIZES: usize = 4;

/// The tiles that a picture of these latents may have been decoded in: the config's own, and powers of
/// two of the smallest.
pub(super) fn sizes(vae: &dyn Vae, latents: ArrayView4<f32>) -> Vec<Tiling> {
    let (_, _, height, width) = latents.dim();
    let config = vae.config();
    let smallest = 4 * config.downsampling();
    let longest = height.max(width) * config.downsampling();
    let doubled = std::iter::successors(Some(smallest), |side| Some(2 * side))
        .take_while(|&side| side < longest);
    let mut sides: Vec<Option<usize>> = doubled.map(Some).collect();
    sides.push(None);
    let mut tilings: Vec<Tiling> =
        sides.into_iter().rev().filter_map(|side| Tiling::new(config, side).ok()).collect();
    tilings.retain(|tiling| tiling.is_faded() && tiling.tile_sample_min_size() < longest);
    tilings.dedup();
    tilings.truncate(SIZES);
    tilings
}

/// One size of tiles; each tile is decoded once, however it is blended.
pub(super) struct Tiles<'a> {
    pub vae: &'a dyn Vae,
    pub tiling: Tiling,
    pub latents: ArrayView4<'a, f32>,
    made: Vec<Array4<f32>>,
}

impl<'a> Tiles<'a> {
    pub fn new(vae: &'a dyn Vae, tiling: Tiling, latents: ArrayView4<'a, f32>) -> Self {
        Self { vae, tiling, latents, made: Vec::new() }
    }

    /// The whole picture, blended as diffusers does or with this mistake.
    pub fn blended(&mut self, mistake: Option<UnitMistake>) -> Result<Array4<f32>> {
        let Self { vae, tiling, latents, made } = self;
        let mut at = 0;
        let mut decode = |tile: ArrayView4<f32>| {
            if at == made.len() {
                made.push(vae.decode(tile)?);
            }
            at += 1;
            Ok(made[at - 1].clone())
        };
        match mistake {
            Some(mistake) => tiling.decoded_with(mistake, *latents, decode),
            None => {
                let splitting = Splitting { tiling: Some(*tiling), slicing: false, clip: false };
                splitting.decoded(*latents, Dtype::F32, |tile, _| decode(tile))
            }
        }
    }
}

/// What such a picture is, after "your picture is the reference's, ".
pub(super) fn described(tiling: Tiling, mistake: Option<UnitMistake>) -> String {
    let side = tiling.tile_sample_min_size();
    let how = match mistake {
        None => "blended as diffusers does",
        Some(UnitMistake::BlendInLatents) => {
            "blended over as many pixels as the overlap has latents"
        }
        Some(UnitMistake::KeepInLatents) => {
            "cut and blended by the overlap in latents, not in pixels"
        }
        Some(UnitMistake::BlendTooWide) => {
            "blended over the overlap in pixels times the size of a latent"
        }
    };
    format!("decoded in tiles of {side} pixels, {how}")
}

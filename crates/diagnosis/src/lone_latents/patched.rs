//! What may have been done to latents of FLUX.2, and the latents without it.

use ndarray::Array4;

use super::super::codes::Cause;
use super::super::evidence::LatentsScale;
use super::super::latents::patched::{BATCH_NORM_STATISTICS, LATENT_PATCH_ORDER, RIGHT};
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::scaling::{PatchedBatchNorm, patched, unpatched};
use vae_fidelity_files::error::Result;

/// What may have happened, in words, and the latents without it.
pub(super) type Undone = (&'static Cause, String, Array4<f32>);

/// The user's latents (1, 4C, h / 2, w / 2) or (1, C, h, w), in patches.
pub(super) fn in_patches(rule: &PatchedBatchNorm, given: &Array4<f32>) -> Result<Array4<f32>> {
    match given.dim().1 == rule.mean.len() {
        true => Ok(given.clone()),
        false => patched(given.view(), rule.patch_size),
    }
}

/// The latents as the model makes them, had the statistics been left out or applied otherwise. Only what
/// moves latents far enough to be told without the original: by half of the statistics it is not.
pub(super) fn without_statistics(
    rule: &PatchedBatchNorm,
    scale: LatentsScale,
    given: &Array4<f32>,
) -> Result<Vec<Undone>> {
    let patches = in_patches(rule, given)?;
    let is_patched = given.dim().1 == rule.mean.len();
    let undone = |what: &str, patches: Array4<f32>| -> Result<Undone> {
        Ok((&BATCH_NORM_STATISTICS, what.to_owned(), unpatched(patches, rule.patch_size)?))
    };
    let once = rule.denormalised(&patches, Dtype::F32);
    Ok(match scale {
        LatentsScale::Raw => {
            vec![undone("are normalised by bn, and are called raw", once)?]
        }
        LatentsScale::Scaled => {
            let left_out = match is_patched {
                true => "are patched and not normalised by bn",
                false => {
                    "are as the model makes them: neither patched nor normalised by bn; \
                     `latents_scale` raw takes them as that"
                }
            };
            let twice = rule.denormalised(&once, Dtype::F32);
            let inverted = rule.normalised(&patches, Dtype::F32);
            vec![
                undone(left_out, patches)?,
                undone("are normalised by bn twice", twice)?,
                undone("have the statistics bn the wrong way round: z * std + mean", inverted)?,
            ]
        }
    })
}

/// The latents as the model makes them, had their patches been in another order.
pub(super) fn reordered(
    rule: &PatchedBatchNorm,
    scale: LatentsScale,
    given: &Array4<f32>,
) -> Result<Vec<Undone>> {
    let patches = in_patches(rule, given)?;
    let raw = scale == LatentsScale::Raw;
    let mut undone = Vec::new();
    for order in RIGHT.others() {
        let mut tell = |patches: Array4<f32>| -> Result<()> {
            let what =
                format!("have their channels in the order {}, not (c, ph, pw)", order.name());
            undone.push((&LATENT_PATCH_ORDER, what, unpatched(patches, rule.patch_size)?));
            Ok(())
        };
        if raw {
            tell(order.undone(&patches))?;
            continue;
        }
        // The statistics may have been applied before the channels were exchanged, or after it.
        tell(rule.denormalised(&order.undone(&patches), Dtype::F32))?;
        tell(order.undone(&rule.denormalised(&patches, Dtype::F32)))?;
    }
    Ok(undone)
}

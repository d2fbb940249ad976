//! The user's latents beside the expected ones: scale, shift, statistics, draw, layout, and what
//! happened to the picture before.

mod channels;
pub(super) mod noise;
pub(super) mod normalised;
pub(super) mod repeated;
pub(super) mod patched;
mod search;
mod shape;
mod values;
mod way;

use ndarray::ArrayD;

use super::affine::Affine;
use super::codes::Code;
use super::compared::{Difference, Judged};
use super::evidence::{Evidence, LatentsScale};
use super::finding::Finding;
use super::non_finite::NON_FINITE_OUTPUT;
use repeated::repeated;
use shape::{Form, as_nchw, turned};
use vae_fidelity_core::scaling::Scaling;
use vae_fidelity_files::error::Result;
use values::finite;

/// What is wrong with the user's latents, if anything, and how far off they are.
pub(super) fn judged(evidence: &Evidence, tensor: &ArrayD<f32>) -> Result<Judged> {
    let scaling = evidence.vae.scaling()?;
    if let Scaling::PatchedBatchNorm(rule) = &scaling {
        return patched::judged(evidence, rule, tensor);
    }
    let found = match as_nchw(evidence, tensor, &evidence.encoded.latents) {
        Ok(found) => found,
        Err(finding) => {
            let finding = turned(evidence, tensor)?.unwrap_or(*finding);
            return Ok(evidence.known(finding).into());
        }
    };
    let non_finite = found.iter().filter(|value| !value.is_finite()).count();
    if non_finite > 0 && evidence.knows(Code::NonFiniteOutput) {
        let title = format!("{non_finite} values of your latents are NaN or infinite");
        let finding = Finding::new(&NON_FINITE_OUTPUT, title).evidence("non_finite", non_finite);
        return Ok(finding.at("encoder").into());
    }
    let affine = Affine::of(evidence.vae.config(), evidence.files.latents_scale);
    let what = match (evidence.drawn, evidence.files.latents_scale) {
        (false, LatentsScale::Scaled) => "this VAE's mode",
        (false, LatentsScale::Raw) => "this VAE's mode, unscaled",
        (true, LatentsScale::Scaled) => "this run's draw",
        (true, LatentsScale::Raw) => "this run's draw, unscaled",
    };
    let what = match Form::of(tensor.shape(), evidence.encoded.latents.dim()) {
        Some(form) => format!("{what}, of {}", form.in_words()),
        None => what.to_owned(),
    };
    let expected = affine.apply(&evidence.encoded.latents);
    let difference = Difference::of_tensors(&expected, &found, &what);
    if let Some(finding) = evidence.known(repeated(&expected, &found)) {
        return Ok(Judged::from(finding).at(difference));
    }
    let judged = match &scaling {
        Scaling::PerChannel(rule) => normalised::judged(evidence, rule, &found)?,
        _ => finite(evidence, &affine, &found)?,
    };
    Ok(judged.at(difference))
}

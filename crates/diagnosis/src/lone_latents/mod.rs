//! Latents without the picture that they were made from: what their own picture says of them.

mod evidence;
mod patched;
mod reencoding;
mod rows;

use ndarray::{Array4, Axis};

use super::compared::{ComparedFile, UserFile};
use super::evidence::{Evidence, LatentsScale, UserFiles};
use super::finding::Finding;
use super::fit::spread;
use super::latents_differ::LATENTS_DIFFER;
use super::non_finite::NON_FINITE_OUTPUT;
use super::passes_nothing::dead_decoder;
use super::scaling::unscaled;
use super::severity::Severity;
use super::{overflow, picture};
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::image_processor::{denormalize, denormalize_alpha, sample_of};
use vae_fidelity_core::vae::{Encoded, Vae};
use vae_fidelity_files::error::Result;

pub use evidence::{LatentsEvidence, Reencoded};
pub use rows::{Axes, latent_rows};

/// What the rules say of latents alone.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LatentsDiagnosis {
    /// What was found.
    pub findings: Vec<Finding>,
    /// How far the user's picture is from what is decoded here; `None` where none was given, and where
    /// nothing here is sound enough to hold it against.
    pub file: Option<ComparedFile>,
    /// What becomes of the latents when their picture is encoded again; `None` where nothing could be.
    pub reencoded: Option<Reencoded>,
}

/// Latents as the model makes them, from latents as pipelines hand them to a diffusion model: `(z /
/// scaling_factor) + shift_factor`, by the config's `latents_mean` and `latents_std`, or by the rule of
/// its class. Raw ones are what they are.
///
/// # Errors
///
/// Returns an error if the shape does not fit the rule, or if the checkpoint's statistics are no numbers
/// to divide by.
pub fn unscaled_latents(
    vae: &dyn Vae,
    scale: LatentsScale,
    given: &Array4<f32>,
) -> Result<Array4<f32>> {
    unscaled(vae, scale, given.clone())
}

/// Applies every rule that needs no original.
///
/// # Errors
///
/// When the VAE refuses to run on what is tried.
pub fn diagnose_latents(evidence: &LatentsEvidence) -> Result<LatentsDiagnosis> {
    let mut diagnosis =
        LatentsDiagnosis { findings: evidence.weights.to_vec(), ..Default::default() };
    if let Some(finding) = not_latents(evidence.vae, evidence.scale, evidence.given) {
        diagnosis.findings.push(finding);
        return Ok(diagnosis);
    }
    diagnosis.findings.extend(constant_channels(evidence.given));
    let decoded = denormalize(evidence.decoded.view(), Dtype::F32)?;
    let alpha = denormalize_alpha(evidence.decoded.view(), Dtype::F32)?;
    let sample = sample_of(evidence.vae.config(), &decoded, alpha.as_ref(), Dtype::F32)?;
    let encoded = Encoded { moments: None, std: None, latents: evidence.unscaled.clone() };
    let scaled = evidence.vae.scale(evidence.unscaled.view())?;
    let files = UserFiles::default();
    let trip = Evidence {
        vae: evidence.vae,
        family: evidence.family,
        source: &decoded,
        dropped: None,
        orientation: None,
        size_requested: false,
        seen: &decoded,
        latents_are_given: true,
        sample: &sample,
        encoded: &encoded,
        drawn: false,
        latents: &scaled,
        decoded: evidence.decoded,
        reference: evidence.reference,
        regrouped: None,
        weights: evidence.weights,
        files: &files,
        unknown: &[],
    };
    let broken = overflow::findings(&trip)?;
    if !broken.is_empty() {
        diagnosis.findings.extend(broken);
        return Ok(diagnosis);
    }
    if let Some(finding) = dead_decoder(&trip)? {
        diagnosis.findings.push(finding);
        return Ok(diagnosis);
    }
    if let Some(judged) = reencoding::judged(evidence)? {
        diagnosis.findings.extend(judged.finding);
        diagnosis.reencoded = Some(judged.reencoded);
    }
    if let Some(theirs) = evidence.decoded_image {
        let judged = picture::judged(&trip, theirs)?;
        diagnosis.file = Some(judged.compared(UserFile::DecodedImage));
        diagnosis.findings.extend(judged.findings);
    }
    Ok(diagnosis)
}

/// Latents whose spread is this share of what it should be are as good as constant.
const NOTHING: f64 = 1e-3;

/// What no decoder can make anything of.
fn not_latents(vae: &dyn Vae, scale: LatentsScale, given: &Array4<f32>) -> Option<Finding> {
    let non_finite = given.iter().filter(|value| !value.is_finite()).count();
    if non_finite > 0 {
        let title = format!("{non_finite} values of your latents are NaN or infinite");
        return Some(Finding::new(&NON_FINITE_OUTPUT, title).evidence("non_finite", non_finite));
    }
    let found = spread(given);
    if found == 0.0 {
        let title = "your latents are one constant: what made them did not reach the file";
        return Some(Finding::new(&LATENTS_DIFFER, title));
    }
    // Scaled latents have a spread of about 1.
    let expected = match (scale, vae.config().scaling_factor()) {
        (LatentsScale::Raw, Some(factor)) => 1.0 / factor,
        _ => 1.0,
    };
    (found < NOTHING * expected).then(|| {
        let title = format!(
            "your latents are as good as constant: their spread is {found:.1e}, where those of pictures have \
             about {expected:.2}"
        );
        Finding::new(&LATENTS_DIFFER, title).evidence("spread", found)
    })
}

/// Channels that are one value throughout while others are not, which no encoder with weights makes.
fn constant_channels(given: &Array4<f32>) -> Option<Finding> {
    let all = given.axis_iter(Axis(1)).enumerate();
    let constant: Vec<(usize, f32)> = all
        .filter_map(|(channel, values)| {
            let first = *values.first()?;
            values.iter().all(|value| *value == first).then_some((channel, first))
        })
        .collect();
    let channels: Vec<usize> = constant.iter().map(|(channel, _)| *channel).collect();
    let (first, value) = *constant.first()?;
    if given.dim().2 * given.dim().3 < 2 || channels.len() == given.dim().1 {
        return None;
    }
    let title = match channels.len() {
        1 => format!("channel {first} of your latents is {value} throughout"),
        several => format!("{several} channels of your latents are one value each throughout"),
    };
    let finding = Finding::new(&LATENTS_DIFFER, title).severity(Severity::Warning);
    Some(finding.evidence("channels", channels))
}

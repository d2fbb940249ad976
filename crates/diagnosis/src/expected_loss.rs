//! What a VAE loses without a fault.

use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::evidence::Evidence;
use super::finding::Finding;
use super::fit::psnr;
use super::severity::Severity;
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::image_processor::denormalize;
use vae_fidelity_files::error::Result;

pub(super) const EXPECTED_LOSS: Cause = Cause {
    code: Code::ExpectedLoss,
    severity: Severity::Info,
    title: "the picture loses what this VAE always loses",
    meaning: "Faces, text and fine patterns suffer, and repeated trips redden. That is the \
              VAE's quality, not a fault.",
    rule: "No other finding, and PSNR within the family's published range (mean plus or minus \
           one standard deviation on COCO2017).",
    remedy: "nothing is broken: use a VAE with more latent channels for more detail",
    diffusers: "stabilityai/sd-vae-ft-mse for Stable Diffusion 1; otherwise the model's own",
    comfyui: "paste the unmasked part back after inpainting, so that it makes no trip",
    ports: "nothing to mend",
    sources: &["comfyanonymous/ComfyUI#673"],
    decided_by: &[DecidedBy::Check],
};

/// `expected-loss`, where the loss lies within what is published of the family.
pub(super) fn finding(evidence: &Evidence) -> Result<Option<Finding>> {
    // Of several releases the family's first, which its plain config belongs to.
    let Some(published) = evidence.family.published_quality().first() else { return Ok(None) };
    let (mean, spread) = (published.psnr_db, published.psnr_db_spread);
    let decoded = denormalize(evidence.decoded.view(), Dtype::F32)?;
    let psnr = psnr(evidence.seen, &decoded);
    let within = (psnr - mean).abs() <= spread;
    Ok(within.then(|| {
        let title = format!(
            "{psnr:.1} dB lies within what {} is published with ({mean} +- {spread} dB)",
            evidence.family
        );
        Finding::new(&EXPECTED_LOSS, title)
            .evidence("psnr_db", psnr)
            .evidence("published_mean_db", mean)
            .evidence("published_std_db", spread)
    }))
}

//! Alpha that does not come back, from a VAE of pictures in RGBA.

use ndarray::{Array4, s};

use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::evidence::Evidence;
use super::finding::Finding;
use super::passes_nothing::Loss;
use super::severity::Severity;

pub(super) const ALPHA_LOST: Cause = Cause {
    code: Code::AlphaLost,
    severity: Severity::Error,
    title: "colours come back, and alpha does not",
    meaning: "A VAE of pictures in RGBA decodes a fourth channel in [-1, 1]: transparent to opaque. \
              PSNR is of the colours alone, and does not see that a picture has become invisible, \
              or that what was cut out is shown.",
    rule: "The VAE takes and gives four channels, its colours come through, and the decoded alpha is \
           below 20 dB and 6 dB worse than one alpha for each block would be; a block's side is what \
           the model shrinks a side by. An opaque picture's blocks are exact. Withheld where the \
           weights do not do their job.",
    remedy: "compare the fourth channel of the decoder's last convolution with the original's, and \
             what is done to it afterwards: alpha / 2 + 0.5, as colours have it",
    diffusers: "load the original repository's vae; VaeImageProcessor denormalizes all channels alike",
    comfyui: "save the four channels with a node that keeps alpha",
    ports: "the last convolution has four outputs, in the order R, G, B, A; denormalize all of them",
    sources: &[],
    decided_by: &[DecidedBy::Check],
};

/// An alpha that is this far off is lost, whatever the picture.
const LOST_DB: f64 = 20.0;
/// How much one alpha for each block has to be nearer.
const BEHIND_DB: f64 = 6.0;

/// `alpha-lost`.
pub(super) fn finding(evidence: &Evidence) -> Option<Finding> {
    let (seen, came) = (alpha(evidence.sample)?, alpha(evidence.decoded)?);
    let loss = Loss::of(seen.view(), came.view(), evidence.vae.config().downsampling());
    // NaN is no loss: another rule is about that.
    let is_lost = loss.trip_db() < LOST_DB && loss.trip_db() < loss.blocks_db() - BEHIND_DB;
    is_lost.then(|| {
        let [of_picture, decoded] = [&seen, &came].map(mean_level);
        let title = format!(
            "decoded alpha is {decoded:.0} of 255 in the mean, the picture's {of_picture:.0} ({:.1} dB), \
             beside colours that come through",
            loss.trip_db()
        );
        Finding::new(&ALPHA_LOST, title)
            .at("decoder")
            .evidence("alpha_psnr_db", loss.trip_db())
            .evidence("mean_alpha", of_picture)
            .evidence("mean_decoded_alpha", decoded)
    })
}

/// Of values in [-1, 1], in levels of 255.
fn mean_level(alpha: &Array4<f32>) -> f64 {
    let levels = alpha.iter().map(|&value| f64::from(value.clamp(-1.0, 1.0)) * 127.5 + 127.5);
    levels.sum::<f64>() / alpha.len().max(1) as f64
}

/// (1, 1, H, W) of a sample in RGBA; `None` of any other.
fn alpha(sample: &Array4<f32>) -> Option<Array4<f32>> {
    (sample.dim().1 == 4).then(|| sample.slice(s![0..1, 3..4, .., ..]).to_owned())
}

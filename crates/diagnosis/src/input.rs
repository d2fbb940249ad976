//! What is known of the picture before anything runs: orientation and size.

use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::evidence::Evidence;
use super::finding::Finding;
use super::severity::Severity;

pub(super) const EXIF_IGNORED: Cause = Cause {
    code: Code::ExifIgnored,
    severity: Severity::Info,
    title: "the file's EXIF orientation is not applied",
    meaning: "A camera's picture that is stored lying on its side is encoded lying on its \
              side, here and in the script this tool is measured against. A pipeline that \
              turns it gives other latents.",
    rule: "The EXIF orientation is not 1; or one of the eight symmetries of your picture fits \
           the reference, and the identity does not.",
    remedy: "apply the orientation on both sides (`exif` apply, or ImageOps.exif_transpose), or on \
             neither; where pictures are flipped at random, cache latents without the flip, or with \
             both",
    diffusers: "diffusers.utils.load_image applies it; PIL.Image.open does not",
    comfyui: "Load Image applies it",
    ports: "read the orientation tag, and decide once for the whole pipeline",
    sources: &["AUTOMATIC1111/stable-diffusion-webui#3628"],
    decided_by: &[
        DecidedBy::Check,
        DecidedBy::Preprocessed,
        DecidedBy::Latents,
        DecidedBy::DecodedImage,
    ],
};

pub(super) const SIZE_ROUNDED: Cause = Cause {
    code: Code::SizeRounded,
    severity: Severity::Info,
    title: "the picture was resized to a size the model can take",
    meaning: "Sides that are no multiple of 2^(levels - 1) are brought down to one: a few \
              pixels are lost, and all others are resampled.",
    rule: "The size encoded differs from the file's without being asked for, or a side is no \
           multiple of 2^(levels - 1).",
    remedy: "pad or crop to a multiple of 8 beforehand, or ask for a size",
    diffusers: "VaeImageProcessor resizes to a multiple of vae_scale_factor; pad beforehand",
    comfyui: "VAE Encode crops to a multiple of 8 from both sides",
    ports: "pad by reflection to the next multiple, and crop the result",
    sources: &["comfyanonymous/ComfyUI#1510"],
    decided_by: &[DecidedBy::Check],
};

/// `exif-ignored`, `size-rounded`.
pub(super) fn findings(evidence: &Evidence) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(orientation) = evidence.orientation {
        findings.push(
            Finding::new(
                &EXIF_IGNORED,
                format!("the file asks to be turned (EXIF orientation {orientation}), and is not"),
            )
            .evidence("orientation", orientation),
        );
    }
    let (from, to) = (evidence.source, evidence.seen);
    let resized = (from.width(), from.height()) != (to.width(), to.height());
    let smaller = evidence.vae.config().downsampling();
    let cut = to.width() % smaller != 0 || to.height() % smaller != 0;
    if cut || (resized && !evidence.size_requested) {
        let title = if cut {
            format!(
                "{} x {} is no multiple of {smaller}: the model cuts the rest off",
                to.width(),
                to.height()
            )
        } else {
            let up = from.width() < to.width() || from.height() < to.height();
            let how =
                if up { "up to 8, the least that is encoded" } else { "down to multiples of 8" };
            format!(
                "{} x {} was resized to {} x {}, {how}",
                from.width(),
                from.height(),
                to.width(),
                to.height()
            )
        };
        findings.push(
            Finding::new(&SIZE_ROUNDED, title)
                .evidence("source", [from.width(), from.height()])
                .evidence("encoded", [to.width(), to.height()])
                .evidence("multiple", smaller),
        );
    }
    findings
}

//! Shapes that differ: files of the user's own pipeline, and models of other families.

use super::changes::LAYOUT_SCRAMBLED;
use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::finding::Finding;
use super::severity::Severity;

pub(super) const SIZE_MISMATCH: Cause = Cause {
    code: Code::SizeMismatch,
    severity: Severity::Error,
    title: "a file of yours has another size than this run",
    meaning: "It was made at another width and height, with another model, or with the axes \
              exchanged.",
    rule: "Shapes differ, and exchanging width and height does not bring them together.",
    remedy: "run with the `width` and `height` of your pipeline",
    diffusers: "pass the pipeline's height and width here as `height` and `width`",
    comfyui: "pass the size of the image that went into VAE Encode",
    ports: "latents are (N, C, H / 2^(levels - 1), W / 2^(levels - 1))",
    sources: &[],
    decided_by: &[DecidedBy::Latents, DecidedBy::Preprocessed, DecidedBy::DecodedImage],
};

pub(super) const WRONG_FAMILY_CHANNELS: Cause = Cause {
    code: Code::WrongFamilyChannels,
    severity: Severity::Error,
    title: "a VAE with another number of latent channels",
    meaning: "Stable Diffusion has 4 latent channels, SD3 and FLUX.1 have 16: they cannot be \
              exchanged.",
    rule: "The shape of decoder.conv_in.weight (or your latents' channels) against the \
           config's latent_channels.",
    remedy: "use the VAE of the model's own family",
    diffusers: "load the vae subfolder of the same repository",
    comfyui: "Load VAE: ae.safetensors for FLUX.1, the checkpoint's own for Stable Diffusion",
    ports: "read latent_channels from the config, and check it against the tensor",
    sources: &["comfyanonymous/ComfyUI#4802"],
    decided_by: &[DecidedBy::Inspect, DecidedBy::Check, DecidedBy::Latents],
};

/// `size-mismatch`, or `layout-scrambled` where width and height are `exchanged`.
pub(super) fn other_size(
    title: String,
    exchanged: bool,
    expected: &[usize],
    found: &[usize],
) -> Finding {
    let finding = if exchanged {
        Finding::new(&LAYOUT_SCRAMBLED, title + ": width and height are exchanged")
    } else {
        Finding::new(&SIZE_MISMATCH, title)
    };
    finding.evidence("expected", expected).evidence("found", found)
}

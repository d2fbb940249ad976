//! What lone latents are judged by, and how far they come back.

use ndarray::Array4;
use serde::Serialize;

use super::super::evidence::{LatentsScale, Reference, UserPicture};
use super::super::finding::Finding;
use vae_fidelity_core::config::Family;
use vae_fidelity_core::vae::Vae;

/// The user's latents, and what this VAE decodes from them.
pub struct LatentsEvidence<'a> {
    /// What ran, and runs again where a rule tries an explanation.
    pub vae: &'a dyn Vae,
    /// The family that its config describes.
    pub family: Family,
    /// The latents as they were given, (1, C, h, w), or in patches where the class has them.
    pub given: &'a Array4<f32>,
    /// How they are scaled.
    pub scale: LatentsScale,
    /// As the model makes them, (1, C, h, w): see [`crate::unscaled_latents`].
    pub unscaled: &'a Array4<f32>,
    /// Decoded from those, (1, 3, H, W), before clamping.
    pub decoded: &'a Array4<f32>,
    /// The same VAE in f32, loaded when it is needed; `None` where that is what ran.
    pub reference: Option<Reference<'a>>,
    /// What the checkpoint says without running it, as [`crate::checkpoint_findings`] found it.
    pub weights: &'a [Finding],
    /// What the user's own pipeline decoded from the same latents.
    pub decoded_image: Option<&'a UserPicture>,
}

/// How far latents are from what their own picture encodes to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Reencoded {
    /// RMS difference over the spread of the latents.
    pub relative_difference: f64,
    /// The same of the latents that came out, which are this VAE's own for certain; `None` where the
    /// given ones come back so well that nothing has to be compared with.
    pub relative_difference_of_own: Option<f64>,
    /// Whether this VAE is sound enough for that to judge latents by it.
    pub judged: bool,
}

//! What encoding gives in a class without a posterior, such as `AutoencoderTiny`.

use ndarray::{Array4, ArrayView4};

use vae_fidelity_core::config::VaeConfig;
use vae_fidelity_core::vae::Encoded;
use vae_fidelity_files::error::{Error, ErrorKind, Result};

/// `latents` as the encoder gives them. There is nothing to draw from, so that `noise` is refused.
pub(super) fn deterministic(
    latents: Array4<f32>,
    noise: Option<ArrayView4<f32>>,
) -> Result<Encoded> {
    match noise {
        None => Ok(Encoded { moments: None, std: None, latents }),
        Some(_) => Err(nothing_to_draw("noise")),
    }
}

/// That a model of `config` has no posterior.
pub(crate) fn no_posterior(config: &VaeConfig) -> Error {
    nothing_to_draw(config.class().name())
}

fn nothing_to_draw(subject: &str) -> Error {
    Error::new(
        ErrorKind::Option,
        subject,
        "the encoder gives latents, and no distribution that one could draw from",
        "leave out `sample` and `seed`: one picture has one set of latents in this class",
    )
}

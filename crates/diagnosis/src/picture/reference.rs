//! What the user's picture is held against.

use ndarray::{Array4, Axis};

use super::super::evidence::{Evidence, LatentsScale};
use vae_fidelity_files::error::Result;

/// Latents, and the picture that they decode to.
pub(super) struct Reference {
    /// Raw, (1, C, h, w).
    pub latents: Array4<f32>,
    /// Decoded from them, (1, 3, H, W).
    pub decoded: Array4<f32>,
}

/// What the user's latents decode to here where they are given and fit, else this run's output.
pub(super) fn reference(evidence: &Evidence) -> Result<Reference> {
    let latents = evidence.files.latents.as_ref().and_then(|latents| {
        let latents = match latents.ndim() {
            3 => latents.clone().insert_axis(Axis(0)),
            _ => latents.clone(),
        };
        let latents = latents.into_dimensionality::<ndarray::Ix4>().ok()?;
        let fits = latents.dim() == evidence.encoded.latents.dim();
        (fits && latents.iter().all(|value| value.is_finite())).then_some(latents)
    });
    match latents {
        None => Ok(Reference {
            latents: evidence.vae.unscale(evidence.latents.view())?,
            decoded: evidence.decoded.clone(),
        }),
        Some(latents) => {
            let config = evidence.vae.config();
            let raw =
                match (evidence.files.latents_scale, &config.latents_mean, &config.latents_std) {
                    (LatentsScale::Raw, ..) => latents,
                    (LatentsScale::Scaled, Some(mean), Some(std)) => {
                        let mut raw = latents;
                        for (channel, mut values) in raw.axis_iter_mut(Axis(1)).enumerate() {
                            let scale = (std[channel] / config.scaling_factor) as f32;
                            values.mapv_inplace(|z| z * scale + mean[channel] as f32);
                        }
                        raw
                    }
                    (LatentsScale::Scaled, ..) => {
                        let shift = config.shift_factor.unwrap_or(0.0) as f32;
                        latents.mapv(|z| z / config.scaling_factor as f32 + shift)
                    }
                };
            Ok(Reference { decoded: evidence.vae.decode(raw.view())?, latents: raw })
        }
    }
}

//! Whether latents turn and shrink as pictures do: EQ-VAE (Kouzelis et al. 2025), `AutoencoderKL.forward` and
//! `training_step` of zelaki/eqvae, which train on what is measured here.

use ndarray::{Array4, ArrayView4, s};
use vae_fidelity_core::vae::Vae;
use vae_fidelity_files::error::Result;

use crate::pair::psnr_db;
use crate::protocol::Rounding;

/// What a VAE makes of latents that were changed.
#[derive(Debug)]
pub(crate) struct Equivariance {
    turned: Array4<f32>,
    halved: Option<Array4<f32>>,
}

impl Equivariance {
    /// Decodes `latents`, turned by 90 degrees, and halved where their sides are even.
    ///
    /// # Errors
    ///
    /// As [`Vae::decode`].
    pub fn of(vae: &dyn Vae, latents: ArrayView4<f32>) -> Result<Self> {
        Ok(Self {
            turned: vae.decode(turned(latents).view())?,
            halved: halved(latents).map(|of| vae.decode(of.view())).transpose()?,
        })
    }

    /// What was decoded, with its name.
    pub fn decoded(&self) -> impl Iterator<Item = (&'static str, &Array4<f32>)> {
        let halved = self.halved.iter().map(|of| ("halved latents, decoded", of));
        [("turned latents, decoded", &self.turned)].into_iter().chain(halved)
    }

    /// PSNR in dB, turned and halved, against `sample` changed in the same way; `None` where nothing differs, and where
    /// a side cannot be halved.
    ///
    /// # Errors
    ///
    /// When nothing can be compared.
    pub fn psnr_db(&self, sample: ArrayView4<f32>, rounding: Rounding) -> Result<[Option<f64>; 2]> {
        let of_turned = psnr_db(turned(sample).view(), self.turned.view(), rounding)?;
        let of_halved = match (halved(sample), &self.halved) {
            (Some(sample), Some(halved)) => psnr_db(sample.view(), halved.view(), rounding)?,
            _ => None,
        };
        Ok([of_turned, of_halved])
    }
}

/// `torch.rot90(tensor, k=1, dims=[-1, -2])`.
fn turned(tensor: ArrayView4<f32>) -> Array4<f32> {
    let turned = tensor.slice_move(s![.., .., ..;-1, ..]).permuted_axes([0, 1, 3, 2]);
    turned.as_standard_layout().into_owned()
}

/// `torch.nn.functional.interpolate(tensor, scale_factor=0.5, mode="bilinear")`: the mean of each four values. `None` of
/// a side that is odd.
fn halved(tensor: ArrayView4<f32>) -> Option<Array4<f32>> {
    let (batch, channels, height, width) = tensor.dim();
    if height % 2 + width % 2 > 0 {
        return None;
    }
    Some(Array4::from_shape_fn((batch, channels, height / 2, width / 2), |(n, c, y, x)| {
        let at = |down: usize, right: usize| tensor[[n, c, 2 * y + down, 2 * x + right]];
        0.5 * (0.5 * at(0, 0) + 0.5 * at(0, 1)) + 0.5 * (0.5 * at(1, 0) + 0.5 * at(1, 1))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(height: usize, width: usize) -> Array4<f32> {
        Array4::from_shape_fn((1, 1, height, width), |(_, _, y, x)| (y * width + x) as f32)
    }

    #[test]
    fn four_turns_are_none_and_one_is_torchs() {
        let tensor = numbered(2, 3);
        let once = turned(tensor.view());
        // torch.rot90(torch.arange(6).view(2, 3), 1, [-1, -2])
        assert_eq!(once.iter().copied().collect::<Vec<_>>(), [3.0, 0.0, 4.0, 1.0, 5.0, 2.0]);
        let all = (0..3).fold(once, |of, _| turned(of.view()));
        assert_eq!(all, tensor);
    }

    #[test]
    fn halves_are_means_of_four_and_odd_sides_have_none() {
        let halves = halved(numbered(2, 4).view()).unwrap();
        assert_eq!(halves.iter().copied().collect::<Vec<_>>(), [2.5, 4.5]);
        assert_eq!(halved(numbered(3, 4).view()), None);
    }
}

//! diffusers `models/autoencoders/vae.py`, `DiagonalGaussianDistribution`.

use tch::Tensor;

use vae_fidelity_files::error::{Error, Result};

use super::libtorch::Attempt;

/// The posterior of an encoded sample: an independent normal distribution for every latent.
///
/// Lives on libtorch rather than on plain arrays, because its `exp` has to round as torch's does.
#[derive(Debug)]
pub struct DiagonalGaussian {
    mean: Tensor,
    logvar: Tensor,
    std: Tensor,
}

impl DiagonalGaussian {
    /// Splits moments (N, 2C, h, w) into mean and log-variance, and clamps the latter to
    /// [-30, 20].
    ///
    /// # Errors
    ///
    /// Returns an error unless `moments` has four dimensions and an even number of channels.
    ///
    /// # Examples
    ///
    /// ```
    /// use tch::{Kind, Tensor};
    /// use vae_fidelity_autoencoders::autoencoder_kl::DiagonalGaussian;
    /// let moments = Tensor::from_slice(&[0.5f32, 99.0]).reshape([1, 2, 1, 1]);
    /// let posterior = DiagonalGaussian::from_moments(&moments).unwrap();
    /// assert_eq!(posterior.mode().double_value(&[0, 0, 0, 0]), 0.5);
    /// assert_eq!(posterior.logvar().double_value(&[0, 0, 0, 0]), 20.0);
    /// ```
    pub fn from_moments(moments: &Tensor) -> Result<Self> {
        let size = moments.size();
        if size.len() != 4 || size[1] % 2 != 0 {
            return Err(Error::tensor(
                "moments",
                format!("expected (N, 2C, h, w), found {size:?}"),
                "pass the output of the encoder, after quant_conv where the model has one",
            ));
        }
        let at = || "splitting the moments";
        let halves = moments.f_chunk(2, 1).attempt(at)?;
        let logvar = halves[1].f_clamp(-30.0, 20.0).attempt(at)?;
        let std = (|| logvar.f_mul_scalar(0.5)?.f_exp())().attempt(at)?;
        Ok(Self { mean: halves[0].shallow_clone(), logvar, std })
    }

    /// The most likely latents (N, C, h, w), which is the mean.
    pub fn mode(&self) -> &Tensor {
        &self.mean
    }

    /// The mean (N, C, h, w).
    pub fn mean(&self) -> &Tensor {
        &self.mean
    }

    /// The clamped log-variance (N, C, h, w).
    pub fn logvar(&self) -> &Tensor {
        &self.logvar
    }

    /// The standard deviation (N, C, h, w), `exp(logvar / 2)`.
    pub fn std(&self) -> &Tensor {
        &self.std
    }

    /// `mean + std * noise`; noise has the latents' shape.
    pub fn sample(&self, noise: &Tensor) -> Result<Tensor> {
        if noise.size() != self.mean.size() {
            return Err(Error::tensor(
                "noise",
                format!("expected {:?}, found {:?}", self.mean.size(), noise.size()),
                "draw noise of the latents' shape",
            ));
        }
        self.std
            .f_mul(noise)
            .and_then(|spread| self.mean.f_add(&spread))
            .attempt(|| "sampling the posterior")
    }
}

//! Tensors that stay where the model is, for those who encode and decode many times.

use ndarray::{Array4, ArrayView4};
use tch::Tensor;

use vae_fidelity_core::trace::Stage;
use vae_fidelity_core::vae::Vae;
use vae_fidelity_files::error::Result;

use super::diagonal_gaussian::DiagonalGaussian;
use super::libtorch::to_array;
use super::reference_vae::AutoencoderKL;

/// An NCHW tensor on a model's device, in its dtype and memory layout.
#[derive(Debug)]
pub struct DeviceTensor(Tensor);

impl DeviceTensor {
    /// The values (N, C, H, W) as f32; waits for the device.
    ///
    /// # Errors
    ///
    /// When libtorch cannot copy them.
    pub fn to_array(&self) -> Result<Array4<f32>> {
        to_array(&self.0)
    }
}

impl AutoencoderKL {
    /// A copy of `array` (N, C, H, W) on the model's device, in its dtype and memory layout.
    ///
    /// # Errors
    ///
    /// When the device has no room for it.
    pub fn to_device(&self, array: ArrayView4<f32>) -> Result<DeviceTensor> {
        self.tensor(array).map(DeviceTensor)
    }

    /// Unscaled latents (N, C, h, w) of `sample` (N, 3, H, W) in [-1, 1]: the posterior's mode, or what the
    /// encoder gives in a class without one. On CUDA the work is queued, not awaited
    /// ([`super::Device::synchronize`] does that). Tiling and slicing are left out.
    ///
    /// # Errors
    ///
    /// When the shape is not that of a sample, or libtorch fails.
    pub fn encode_on_device(&self, sample: &DeviceTensor) -> Result<DeviceTensor> {
        let moments = self.forward(Stage::Encode, &sample.0)?;
        if !self.config().has_posterior() {
            return Ok(DeviceTensor(moments));
        }
        let posterior = DiagonalGaussian::from_moments(&moments)?;
        Ok(DeviceTensor(posterior.mode().shallow_clone()))
    }

    /// The decoded sample (N, 3, H, W) of unscaled `latents` (N, C, h, w), under the same terms as
    /// [`Self::encode_on_device`].
    ///
    /// # Errors
    ///
    /// When the shape is not that of latents, or libtorch fails.
    pub fn decode_on_device(&self, latents: &DeviceTensor) -> Result<DeviceTensor> {
        self.forward(Stage::Decode, &latents.0).map(DeviceTensor)
    }
}

//! The rule of Wan's family: the mean and the standard deviation of each channel, out of the config.

use ndarray::{Array4, ArrayView4, Axis};
use serde::Serialize;

use crate::dtype::Dtype;
use vae_fidelity_files::error::{Error, Result};

/// The mean is subtracted and the standard deviation divided by, in the order of [`PerChannelForm`], with the config's
/// numbers rounded to the model's dtype and each step after them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub struct PerChannel {
    /// `latents_mean` of the config, one a channel.
    pub mean: Vec<f64>,
    /// `latents_std` of the config, one a channel.
    pub std: Vec<f64>,
    /// The order of the steps, each of which is rounded.
    pub form: PerChannelForm,
}

/// How a pipeline writes the division by the standard deviation: values differ in their last bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PerChannelForm {
    /// `(z - mean) * (1 / std)`, and `z / (1 / std) + mean` back: what `WanImageToVideoPipeline.prepare_latents`
    /// and `QwenImageImg2ImgPipeline._encode_vae_image` do, and how both decode
    /// (diffusers `pipelines/wan/pipeline_wan_i2v.py`, `pipelines/qwenimage/pipeline_qwenimage_img2img.py`).
    Reciprocal,
    /// `(z - mean) / std`, and `z * std + mean` back: what `QwenImage21Pipeline` does
    /// (diffusers `pipelines/qwenimage21/pipeline_qwenimage21.py`).
    Quotient,
}

impl PerChannel {
    /// What the diffusion model is given for `latents` (N, C, h, w), of the same shape.
    ///
    /// # Errors
    ///
    /// Returns an error if there are other channels than statistics.
    pub fn scale(&self, latents: ArrayView4<f32>, dtype: Dtype) -> Result<Array4<f32>> {
        self.by_channel(latents, dtype, |z, mean, std| {
            let moved = dtype.round(z - mean);
            dtype.round(match self.form {
                PerChannelForm::Reciprocal => moved * dtype.round(1.0 / std),
                PerChannelForm::Quotient => moved / std,
            })
        })
    }

    /// The latents as the model decodes them, for what the diffusion model gives.
    ///
    /// # Errors
    ///
    /// As [`Self::scale`].
    pub fn unscale(&self, latents: ArrayView4<f32>, dtype: Dtype) -> Result<Array4<f32>> {
        self.by_channel(latents, dtype, |z, mean, std| {
            let spread = dtype.round(match self.form {
                PerChannelForm::Reciprocal => z / dtype.round(1.0 / std),
                PerChannelForm::Quotient => z * std,
            });
            dtype.round(spread + mean)
        })
    }

    /// `f` of each value, with the mean and the standard deviation of its channel.
    fn by_channel(
        &self,
        latents: ArrayView4<f32>,
        dtype: Dtype,
        f: impl Fn(f32, f32, f32) -> f32,
    ) -> Result<Array4<f32>> {
        let (expected, found) = (self.mean.len(), latents.dim().1);
        if found != expected {
            return Err(Error::tensor(
                "latents",
                format!("expected {expected} channels, as latents_mean has, found {found}"),
                "pass latents made by a VAE with the same number of latent channels",
            ));
        }
        let mut changed = latents.to_owned();
        let statistics = self.mean.iter().zip(&self.std);
        for (mut channel, (&mean, &std)) in changed.axis_iter_mut(Axis(1)).zip(statistics) {
            let (mean, std) = (dtype.round(mean as f32), dtype.round(std as f32));
            channel.mapv_inplace(|z| f(z, mean, std));
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_are_applied_by_channel_and_taken_back() {
        let rule = PerChannel {
            mean: vec![1.0, -2.0],
            std: vec![2.0, 4.0],
            form: PerChannelForm::Reciprocal,
        };
        let latents = Array4::from_shape_fn((1, 2, 1, 2), |(_, c, _, x)| (c * 10 + x) as f32);
        let scaled = rule.scale(latents.view(), Dtype::F32).unwrap();
        assert_eq!(scaled.as_slice().unwrap(), [-0.5, 0.0, 3.0, 3.25]);
        assert_eq!(rule.unscale(scaled.view(), Dtype::F32).unwrap(), latents);
        let other = Array4::zeros((1, 3, 1, 1));
        let problem = rule.scale(other.view(), Dtype::F32).unwrap_err().to_string();
        assert!(problem.contains("expected 2 channels"), "{problem}");
    }

    #[test]
    fn the_inverse_is_rounded_as_the_pipelines_round_it() {
        // 1 / 2.8184 is no f32, so that z / (1 / std) is not z * std.
        let form = PerChannelForm::Reciprocal;
        let rule = PerChannel { mean: vec![-0.7571], std: vec![2.8184], form };
        let inverse = 1.0f32 / 2.8184f32;
        for z in [0.3f32, -1.7, 2.9] {
            let one = Array4::from_elem((1, 1, 1, 1), z);
            let scaled = rule.scale(one.view(), Dtype::F32).unwrap()[[0, 0, 0, 0]];
            assert_eq!(scaled, (z - -0.7571f32) * inverse);
            let back = rule.unscale(one.view(), Dtype::F32).unwrap()[[0, 0, 0, 0]];
            assert_eq!(back, z / inverse + -0.7571f32);
        }
        let one = Array4::from_elem((1, 1, 1, 1), 0.3f32);
        let half = rule.scale(one.view(), Dtype::F16).unwrap()[[0, 0, 0, 0]];
        let round = |x| Dtype::F16.round(x);
        assert_eq!(half, round(round(0.3 - round(-0.7571)) * round(1.0 / round(2.8184))));
    }

    #[test]
    fn qwen_image_2_1_divides_and_multiplies() {
        let rule =
            PerChannel { mean: vec![0.5126], std: vec![3.2001], form: PerChannelForm::Quotient };
        let other = PerChannel { form: PerChannelForm::Reciprocal, ..rule.clone() };
        let latents = Array4::from_shape_fn((1, 1, 8, 8), |(_, _, y, x)| (y * 8 + x) as f32 / 9.0);
        let scaled = rule.scale(latents.view(), Dtype::F32).unwrap();
        let back = rule.unscale(latents.view(), Dtype::F32).unwrap();
        for ((z, scaled), back) in latents.iter().zip(&scaled).zip(&back) {
            assert_eq!(*scaled, (z - 0.5126f32) / 3.2001f32);
            assert_eq!(*back, z * 3.2001f32 + 0.5126f32);
        }
        assert_ne!(scaled, other.scale(latents.view(), Dtype::F32).unwrap());
        assert_ne!(back, other.unscale(latents.view(), Dtype::F32).unwrap());
        let half = rule.unscale(latents.view(), Dtype::Bf16).unwrap();
        let round = |x| Dtype::Bf16.round(x);
        assert_eq!(half[[0, 0, 0, 1]], round(round(1.0 / 9.0 * round(3.2001)) + round(0.5126)));
    }
}

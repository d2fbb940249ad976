//! FLUX.2's rule: patches of latents as channels, normalised by statistics in the checkpoint.

use ndarray::{Array4, ArrayBase, ArrayView4, Axis, Data, Ix4};
use serde::Serialize;

use crate::dtype::Dtype;
use vae_fidelity_files::error::{Error, Result};

/// The checkpoint key of FLUX.2's means, one a channel of patched latents.
pub const RUNNING_MEAN: &str = "bn.running_mean";
/// The checkpoint key of FLUX.2's variances.
pub const RUNNING_VAR: &str = "bn.running_var";

/// Patches of 2 x 2 latents become channels (c, ph, pw), then `(z - mean) / std`; back `z * std + mean`,
/// and out of the patches: `Flux2Pipeline._encode_vae_image`, and its decoding
/// (diffusers `pipelines/flux2/pipeline_flux2.py`).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub struct PatchedBatchNorm {
    /// Height and width of a patch.
    pub patch_size: [usize; 2],
    /// `bn.running_mean`, one a channel of patched latents.
    pub mean: Vec<f32>,
    /// The root of `bn.running_var + batch_norm_eps`.
    pub std: Vec<f32>,
}

impl PatchedBatchNorm {
    /// The rule for statistics as the checkpoint has them, each step rounded to `dtype`.
    ///
    /// # Errors
    ///
    /// Returns an error if there is not one variance for each mean, if a variance and `eps` come to 0 or
    /// less, or if one of the numbers is not finite.
    pub fn new(mean: Vec<f32>, variance: &[f32], eps: f64, dtype: Dtype) -> Result<Self> {
        let refused = |problem: String| {
            Err(Error::tensor(
                RUNNING_VAR,
                problem,
                "fetch the checkpoint again: latents cannot be normalised by its statistics",
            ))
        };
        if mean.len() != variance.len() {
            let (means, variances) = (mean.len(), variance.len());
            return refused(format!(
                "expected {means} variances, as many as means, found {variances}"
            ));
        }
        let std: Vec<f32> = variance
            .iter()
            .map(|&variance| dtype.round(dtype.round(variance) + eps as f32))
            .map(|sum| dtype.round(sum.sqrt()))
            .collect();
        if let Some(at) = std.iter().position(|std| !std.is_finite() || *std == 0.0) {
            let found = variance[at];
            return refused(format!("channel {at}: expected a variance above 0, found {found}"));
        }
        if let Some(at) = mean.iter().position(|mean| !mean.is_finite()) {
            return refused(format!("channel {at}: expected a finite mean, found {}", mean[at]));
        }
        let mean = mean.into_iter().map(|mean| dtype.round(mean)).collect();
        Ok(Self { patch_size: [2, 2], mean, std })
    }

    /// What the diffusion model is given for `latents` (N, C, h, w): (N, 4C, h / 2, w / 2).
    ///
    /// # Errors
    ///
    /// Returns an error if patches do not fit the sides, or if there are other channels than statistics.
    pub fn scale(&self, latents: ArrayView4<f32>, dtype: Dtype) -> Result<Array4<f32>> {
        let patched = patched(latents, self.patch_size)?;
        self.check_channels(&patched)?;
        Ok(self.normalised(&patched, dtype))
    }

    /// The latents (N, C, h, w) as the model decodes them, for what the diffusion model gives.
    ///
    /// # Errors
    ///
    /// As [`Self::scale`].
    pub fn unscale(&self, latents: ArrayView4<f32>, dtype: Dtype) -> Result<Array4<f32>> {
        self.check_channels(&latents)?;
        unpatched(self.denormalised(&latents.to_owned(), dtype), self.patch_size)
    }

    /// Patched latents, less the mean and over the spread of their channel.
    pub fn normalised(&self, patched: &Array4<f32>, dtype: Dtype) -> Array4<f32> {
        self.by_channel(patched, |z, mean, std| dtype.round(dtype.round(z - mean) / std))
    }

    /// The inverse of [`Self::normalised`].
    pub fn denormalised(&self, patched: &Array4<f32>, dtype: Dtype) -> Array4<f32> {
        self.by_channel(patched, |z, mean, std| dtype.round(dtype.round(z * std) + mean))
    }

    /// `f` of each value of patched latents, with mean and spread of its channel.
    pub fn by_channel(
        &self,
        patched: &Array4<f32>,
        f: impl Fn(f32, f32, f32) -> f32,
    ) -> Array4<f32> {
        let mut changed = patched.clone();
        let statistics = self.mean.iter().zip(&self.std);
        for (mut channel, (&mean, &std)) in changed.axis_iter_mut(Axis(1)).zip(statistics) {
            channel.mapv_inplace(|z| f(z, mean, std));
        }
        changed
    }

    fn check_channels<S: Data<Elem = f32>>(&self, patched: &ArrayBase<S, Ix4>) -> Result<()> {
        let (expected, found) = (self.mean.len(), patched.dim().1);
        if found == expected {
            return Ok(());
        }
        Err(Error::tensor(
            "latents",
            format!("expected {expected} channels of patches, found {found}"),
            "pass latents as the diffusion model has them: patched and normalised",
        ))
    }
}

/// (N, C, h, w) to (N, C * ph * pw, h / ph, w / pw), channels in the order (c, ph, pw).
///
/// # Errors
///
/// Returns an error if patches do not fit the sides.
pub fn patched(latents: ArrayView4<f32>, [ph, pw]: [usize; 2]) -> Result<Array4<f32>> {
    let (n, channels, height, width) = latents.dim();
    if ph == 0 || pw == 0 || height % ph != 0 || width % pw != 0 {
        return Err(Error::tensor(
            "latents",
            format!("expected sides of multiples of {ph} and {pw}, found {height} x {width}"),
            "choose a picture whose sides are multiples of 16: patches of latents are 2 x 2",
        ));
    }
    Ok(Array4::from_shape_fn(
        (n, channels * ph * pw, height / ph, width / pw),
        |(image, channel, y, x)| {
            let (from, patch) = (channel / (ph * pw), channel % (ph * pw));
            latents[[image, from, y * ph + patch / pw, x * pw + patch % pw]]
        },
    ))
}

/// The inverse of [`patched`].
///
/// # Errors
///
/// Returns an error if the channels are no patches of this size.
pub fn unpatched(latents: Array4<f32>, [ph, pw]: [usize; 2]) -> Result<Array4<f32>> {
    let (n, channels, height, width) = latents.dim();
    if ph * pw == 0 || channels % (ph * pw) != 0 {
        return Err(Error::tensor(
            "latents",
            format!("expected a multiple of {} channels, found {channels}", ph * pw),
            "pass latents as the diffusion model has them: patched and normalised",
        ));
    }
    let shape = (n, channels / (ph * pw), height * ph, width * pw);
    Ok(Array4::from_shape_fn(shape, |(image, channel, y, x)| {
        let patch = (y % ph) * pw + x % pw;
        latents[[image, channel * ph * pw + patch, y / ph, x / pw]]
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latents() -> Array4<f32> {
        Array4::from_shape_fn((2, 3, 4, 6), |(n, c, y, x)| (n * 1000 + c * 100 + y * 10 + x) as f32)
    }

    #[test]
    fn patches_are_channels_in_the_order_channel_row_column() {
        let patched = patched(latents().view(), [2, 2]).unwrap();
        assert_eq!(patched.dim(), (2, 12, 2, 3));
        // Channel 1, row 1 and column 0 of its patch, second patch down, third across.
        assert_eq!(patched[[1, 4 + 2, 1, 2]], 1000.0 + 100.0 + 30.0 + 4.0);
        assert_eq!(unpatched(patched, [2, 2]).unwrap(), latents());
        assert!(unpatched(Array4::zeros((1, 6, 2, 2)), [2, 2]).is_err());
    }

    #[test]
    fn statistics_are_applied_and_taken_back() {
        let mean: Vec<f32> = (0..12).map(|channel| channel as f32).collect();
        let rule = PatchedBatchNorm::new(mean, &[4.0 - 1e-4; 12], 1e-4, Dtype::F32).unwrap();
        let scaled = rule.scale(latents().view(), Dtype::F32).unwrap();
        assert_eq!(scaled[[0, 0, 0, 0]], 0.0);
        assert_eq!(scaled[[0, 3, 0, 0]], (11.0 - 3.0) / 2.0);
        assert_eq!(scaled.dim(), (2, 12, 2, 3));
        assert_eq!(rule.unscale(scaled.view(), Dtype::F32).unwrap(), latents());
        let odd = Array4::zeros((1, 3, 3, 2));
        let problem = rule.scale(odd.view(), Dtype::F32).unwrap_err().to_string();
        assert!(problem.contains("multiples of 2"), "{problem}");
        let narrow = Array4::zeros((1, 8, 2, 2));
        assert!(rule.unscale(narrow.view(), Dtype::F32).is_err());
        assert!(rule.scale(narrow.view(), Dtype::F32).is_err());
    }

    #[test]
    fn statistics_that_are_no_numbers_to_divide_by_are_refused() {
        let refused = |mean: &[f32], variance: &[f32]| {
            PatchedBatchNorm::new(mean.to_vec(), variance, 1e-4, Dtype::F32).is_err()
        };
        assert!(refused(&[0.0], &[-1.0]));
        assert!(refused(&[0.0], &[f32::NAN]));
        assert!(refused(&[0.0], &[f32::INFINITY]));
        assert!(refused(&[f32::NAN], &[1.0]));
        assert!(refused(&[0.0, 0.0], &[1.0]));
        assert!(!refused(&[0.0], &[0.0]));
    }
}

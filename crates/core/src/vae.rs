//! What any VAE implementation offers, and one trip through it.

use ndarray::{Array4, ArrayD, ArrayView4, ArrayViewD};

use crate::cancellation::Cancellation;
use crate::config::VaeConfig;
use crate::dtype::Dtype;
use crate::scaling::Scaling;
use crate::tiling::Splitting;
use crate::trace::{Extreme, Stage, Trace, TraceFile};
use vae_fidelity_files::error::{Error, ErrorKind, Result};
use vae_fidelity_pixels::Rgb8;

/// A VAE that can be judged: one of `vae_fidelity_autoencoders`, or your implementation.
///
/// Tensors are NCHW and travel as `f32` whatever the arithmetic is. Samples lie in [-1, 1], and have a
/// fourth channel where pictures have alpha ([`VaeConfig::has_alpha`]); latents are as the model makes
/// them, not multiplied by `scaling_factor`.
pub trait Vae: Send {
    /// The config that the weights were loaded with.
    fn config(&self) -> &VaeConfig;

    /// The arithmetic that the model runs in.
    fn dtype(&self) -> Dtype;

    /// Encodes `sample` (N, 3, H, W) to the posterior and latents (N, C, H / f, W / f): the mode of the
    /// posterior without `noise`, a sample of it with `noise`, which has the latents' shape. A class without
    /// a posterior ([`VaeConfig::has_posterior`]) refuses noise.
    fn encode(&self, sample: ArrayView4<f32>, noise: Option<ArrayView4<f32>>) -> Result<Encoded>;

    /// `count` samples of the posterior of `sample`, each as [`Vae::encode`] returns latents, with random
    /// numbers of the implementation's own.
    ///
    /// For implementations that take no noise, whose `encode` fails with [`ErrorKind::Unsupported`]: their
    /// posterior samples are judged by mean and variance. `None` if there are none.
    fn posterior_samples(
        &self,
        sample: ArrayView4<f32>,
        count: usize,
    ) -> Option<Result<Vec<Array4<f32>>>> {
        let _ = (sample, count);
        None
    }

    /// Decodes unscaled `latents` (N, C, h, w) to a sample (N, 3, h * f, w * f), not clamped but by a class
    /// that clamps what it decodes.
    fn decode(&self, latents: ArrayView4<f32>) -> Result<Array4<f32>>;

    /// Converts a decoded sample to pixels, if the implementation has a conversion of its own. With
    /// `None` it is not judged, and the reference script's conversion is used.
    fn to_rgb8(&self, decoded: ArrayView4<f32>) -> Option<Result<Rgb8>> {
        let _ = decoded;
        None
    }

    /// How latents are handed to the diffusion model.
    ///
    /// # Errors
    ///
    /// Returns an error of kind [`ErrorKind::Unsupported`] for a class whose rule lies in the checkpoint,
    /// until the implementation gives it.
    fn scaling(&self) -> Result<Scaling> {
        match Scaling::of_config(self.config()) {
            Some(scaling) => Ok(scaling),
            None => Err(Error::new(
                ErrorKind::Unsupported,
                format!("latents of {}", self.config().class().name()),
                "are scaled by statistics in the checkpoint",
                "implement Vae::scaling; Checkpoint::scaling reads them",
            )),
        }
    }

    /// Raw latents (N, C, h, w) as the diffusion model is given them, as the implementation rounds it.
    /// The shape may be another.
    fn scale(&self, latents: ArrayView4<f32>) -> Result<Array4<f32>> {
        self.scaling()?.scale(latents, self.dtype())
    }

    /// The inverse of [`Vae::scale`].
    fn unscale(&self, latents: ArrayView4<f32>) -> Result<Array4<f32>> {
        self.scaling()?.unscale(latents, self.dtype())
    }

    /// Enables tiling or slicing for later calls, as diffusers' `enable_tiling()` and
    /// `enable_slicing()` do, or disables both; says whether what is given are the frames of one clip.
    ///
    /// # Errors
    ///
    /// Returns an error of kind [`ErrorKind::Unsupported`] if the implementation lacks what is asked for; goldens
    /// that need them are then not run.
    fn set_splitting(&mut self, splitting: Splitting) -> Result<()> {
        if splitting == Splitting::default() {
            return Ok(());
        }
        let what = match splitting {
            Splitting { clip: true, .. } => "clips",
            Splitting { tiling: Some(_), .. } => "tiling",
            _ => "slicing",
        };
        Err(Error::new(
            ErrorKind::Unsupported,
            what,
            "the implementation does not offer it",
            "implement Vae::set_splitting, with the help of vae_fidelity_core::tiling",
        ))
    }

    /// Ends `encode` and `decode` with [`ErrorKind::Cancelled`] from now on, once `cancellation` says so.
    /// An implementation that does not look runs to its end.
    fn set_cancellation(&mut self, cancellation: Cancellation) {
        let _ = cancellation;
    }

    /// Runs `stage` on the whole `input` (a sample, or unscaled latents) and records every module's
    /// output; `None` where the implementation cannot.
    fn trace(&self, stage: Stage, input: ArrayView4<f32>) -> Option<Result<Trace>> {
        let _ = (stage, input);
        None
    }

    /// The layers whose outputs passed [`Extreme::WATCHED`] in the latest call of [`Vae::encode`] or
    /// [`Vae::decode`], in the order in which they ran, for implementations that watch them: what half
    /// precision would lose. Empty where none did, and for those that do not.
    fn extremes(&self, stage: Stage) -> Vec<Extreme> {
        let _ = stage;
        Vec::new()
    }

    /// Runs the module of diffusers' name `name` alone on `input`, and returns what it makes of it:
    /// images (N, C, H, W), inside attention (N, C, H * W) for its norm and tokens (N, H * W, C) for
    /// its projections. With this the golden harness tells a block that is wrong from one that was
    /// given something wrong.
    ///
    /// `None` where the model has no such module, or the implementation cannot run it alone.
    fn forward_module(&self, name: &str, input: ArrayViewD<f32>) -> Option<Result<ArrayD<f32>>> {
        let _ = (name, input);
        None
    }
}

/// What `encode` gives; what an implementation does not expose is `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoded {
    /// Mean and log-variance before clamping, (N, 2C, h, w).
    pub moments: Option<Array4<f32>>,
    /// Standard deviation of the posterior, (N, C, h, w).
    pub std: Option<Array4<f32>>,
    /// Mode or sample of the posterior, or what the encoder gives where there is none; (N, C, h, w),
    /// unscaled.
    pub latents: Array4<f32>,
}

/// Every tensor of one trip: encode, scale, unscale, decode.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundTrip {
    /// Mean and log-variance before clamping, (1, 2C, h, w), where the model exposes them.
    pub moments: Option<Array4<f32>>,
    /// Scaled latents (1, C, h, w), as the reference script's `encode_to_latents` returns them.
    pub latents: Array4<f32>,
    /// Decoded sample (1, 3, H, W) before clamping.
    pub decoded: Array4<f32>,
}

/// Encodes `sample`, scales and unscales the latents as the reference script does, and decodes them.
///
/// With `noise` the latents are a sample of the posterior, without it they are its mode.
///
/// # Errors
///
/// Returns the error of the first step that fails.
pub fn round_trip(
    vae: &dyn Vae,
    sample: ArrayView4<f32>,
    noise: Option<ArrayView4<f32>>,
) -> Result<RoundTrip> {
    let encoded = vae.encode(sample, noise)?;
    let latents = vae.scale(encoded.latents.view())?;
    let decoded = vae.decode(vae.unscale(latents.view())?.view())?;
    Ok(RoundTrip { moments: encoded.moments, latents, decoded })
}

/// The outputs of every module of `vae` for `sample`, and of its decoder for `unscaled` latents.
///
/// # Errors
///
/// Returns an error of kind [`ErrorKind::Unsupported`] if the implementation records no trace.
pub fn trace<'a>(
    vae: &dyn Vae,
    sample: ArrayView4<'a, f32>,
    unscaled: ArrayView4<'a, f32>,
) -> Result<TraceFile> {
    let stage = |stage, input| {
        vae.trace(stage, input).unwrap_or_else(|| {
            Err(Error::new(
                ErrorKind::Unsupported,
                "trace",
                "the implementation records no trace",
                "implement Vae::trace",
            ))
        })
    };
    Ok(TraceFile::new(stage(Stage::Encode, sample)?, stage(Stage::Decode, unscaled)?))
}

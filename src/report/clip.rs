//! What `check` has to say of a clip, beside what it says of the first frame.

use serde::Serialize;

use crate::metrics::PixelMetrics;
use crate::trace::Statistics;
use crate::verdict::Thresholds;

/// A clip that went through the VAE: latents and decoded frames, and each frame beside what came back. All else in
/// the report is of the first frame, run as a picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ClipReport {
    /// Frames of the clip.
    pub frames: usize,
    /// Whether they are one still picture, again and again.
    pub still: bool,
    /// The scaled latents, (T', channels, height, width).
    pub latents: ClipTensor,
    /// The decoded frames before clamping, (T, 3, height, width).
    pub decoded: ClipTensor,
    /// Each decoded frame beside the one that was encoded, in their order, without the models of vision; empty
    /// where there are no pictures, and where something decoded is not finite.
    pub metrics: Vec<PixelMetrics>,
}

/// A tensor of a clip; statistics cover finite values.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ClipTensor {
    /// (frames, channels, height, width).
    pub shape: [usize; 4],
    /// Mean, spread, extremes and how many are not finite.
    #[serde(flatten)]
    pub statistics: Statistics,
}

impl ClipTensor {
    /// Measures `tensor`.
    pub fn of(tensor: &ndarray::Array4<f32>) -> Self {
        Self { shape: tensor.dim().into(), statistics: Statistics::of(tensor) }
    }
}

impl ClipReport {
    /// Why the frames behind the first fail; empty where they do not.
    pub fn reasons(&self, thresholds: &Thresholds) -> Vec<String> {
        let non_finite = self.decoded.statistics.non_finite;
        if non_finite > 0 {
            return vec![format!("{non_finite} decoded values of the clip are NaN or infinite")];
        }
        let later = self.metrics.iter().enumerate().skip(1);
        let missed = later.flat_map(|(frame, metrics)| {
            let reasons = thresholds.missed(Some(metrics)).into_iter();
            reasons.map(move |reason| format!("frame {frame}: {reason}"))
        });
        missed.collect()
    }
}

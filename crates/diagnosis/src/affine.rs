//! How a config scales raw latents: a factor and a shift, or a mean and a spread for each channel.

use ndarray::{Array4, Axis};

use super::evidence::LatentsScale;
use vae_fidelity_core::config::VaeConfig;

/// What is to be done to raw latents: `(z - shift) * factor`, or per channel.
#[derive(Debug, Clone)]
pub(super) struct Affine {
    pub scale: LatentsScale,
    pub factor: f64,
    /// The config's own, whatever is asked for.
    pub scaling_factor: f64,
    pub shift: f64,
    /// Mean and standard deviation of each channel.
    pub statistics: Option<Vec<(f64, f64)>>,
}

impl Affine {
    /// As `config` asks for; raw latents are as they are.
    pub fn of(config: &VaeConfig, scale: LatentsScale) -> Self {
        let scaled = scale == LatentsScale::Scaled;
        let (mean, std) = config.latents_statistics().unwrap_or_default();
        let statistics = mean.iter().copied().zip(std.iter().copied()).collect::<Vec<_>>();
        // Latents of a class without a factor are compared as they are.
        let scaling_factor = config.scaling_factor().unwrap_or(1.0);
        Self {
            scale,
            factor: if scaled { scaling_factor } else { 1.0 },
            scaling_factor,
            shift: if scaled { config.shift_factor().unwrap_or(0.0) } else { 0.0 },
            statistics: (scaled && !statistics.is_empty()).then_some(statistics),
        }
    }

    /// Raw latents (N, C, h, w), scaled as is asked for.
    pub fn apply(&self, raw: &Array4<f32>) -> Array4<f32> {
        let mut scaled = raw.clone();
        for (channel, mut values) in scaled.axis_iter_mut(Axis(1)).enumerate() {
            let statistics = self.statistics.as_ref().and_then(|list| list.get(channel));
            let (mean, std) = statistics.copied().unwrap_or((self.shift, 1.0));
            values.mapv_inplace(|z| ((f64::from(z) - mean) * self.factor / std) as f32);
        }
        scaled
    }

    /// Whether latents are scaled otherwise than by one factor and shift.
    pub fn per_channel(&self) -> bool {
        self.statistics.is_some()
    }

    /// Slope and offset from raw latents to what is asked for, without per-channel statistics.
    pub fn line(&self) -> (f64, f64) {
        (self.factor, -self.shift * self.factor)
    }
}

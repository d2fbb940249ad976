//! What the user's latents have added to the posterior's mean: nothing, a draw, or noise of the wrong
//! spread.

use ndarray::{Array4, Zip, s};

use super::super::codes::{Cause, Code};
use super::super::decided_by::DecidedBy;
use super::super::evidence::Evidence;
use super::super::finding::Finding;
use super::super::fit::{Line, spread};
use super::super::severity::Severity;
use vae_fidelity_core::dtype::Dtype;

pub(in super::super) const SAMPLE_VS_MODE: Cause = Cause {
    code: Code::SampleVsMode,
    severity: Severity::Warning,
    title: "latents are a draw from the posterior where its mode is expected, or the reverse",
    meaning: "A draw differs from run to run, and is a little noisier. Training takes draws; \
              editing and measuring should take the mode.",
    rule: "(z - mean) / std of your latents is standard normal (mean within 0.1, spread 0.9 to \
           1.1); or, with `sample`, your latents are the mode.",
    remedy: "take the mode of the posterior (or a draw) on both sides",
    diffusers: "latent_dist.mode() for the mode, latent_dist.sample(generator) for a draw",
    comfyui: "VAE Encode takes the mode for some models and draws for others; see \
              regularization in its VAE class",
    ports: "the first half of the moments is the mode; the second is log-variance, clamped to \
            [-30, 20]",
    sources: &["bghira/SimpleTuner#1722"],
    decided_by: &[DecidedBy::Latents],
};

pub(in super::super) const POSTERIOR_NOISE: Cause = Cause {
    code: Code::PosteriorNoise,
    severity: Severity::Error,
    title: "the noise of a draw is not the posterior's",
    meaning: "A draw is mean + std * noise, with std = exp(logvar / 2) and noise of spread 1. With \
              the log-variance dropped, its exponential taken for the standard deviation, or noise \
              added twice, latents are far too noisy, or hardly at all.",
    rule: "Your latents minus the mean, over 1, std, std^2 or sqrt(2) std, look like normal white noise \
           of spread 1 that does not follow the mean; or they are the mean plus std exactly.",
    remedy: "draw mean + exp(logvar / 2) * noise once, or take the mean",
    diffusers: "latent_dist.sample(generator), not randn added to the moments",
    comfyui: "see regularization in its VAE class",
    ports: "clamp the log-variance to [-30, 20], halve it, then take its exponential",
    sources: &["huggingface/diffusers#13657", "keras-team/keras#3283", "Project-MONAI/MONAI#8413"],
    decided_by: &[DecidedBy::Latents],
};

/// `sample-vs-mode` or `posterior-noise`: what the line of this slope and offset leaves beside the
/// posterior's mean.
pub(super) fn noise(
    evidence: &Evidence,
    (slope, offset): (f64, f64),
    found: &Array4<f32>,
    noise: f64,
) -> Option<Finding> {
    if slope == 0.0 {
        return None;
    }
    let (mean, std) = (evidence.mean()?, evidence.encoded.std.as_ref()?);
    let (slope, offset) = (slope as f32, offset as f32);
    let off = Zip::from(found).and(&mean).map_collect(|&z, &mean| (z - offset) / slope - mean);
    let standard = Zip::from(&off).and(std).map_collect(|&off, &std| off / std.max(1e-12));
    let known = Noise::of(&standard);
    let seen = noise > 3.0 * coarseness(found);
    let draw = seen && known.is_white(1.0);
    let title = match evidence.drawn {
        false if draw => {
            Some("your latents are a draw from the posterior, and this run took its mode")
        }
        true if seen && known.spread <= 0.2 && known.level.abs() <= 0.2 => {
            Some("your latents are the posterior's mode, and this run drew a sample")
        }
        true if draw => return None,
        _ => None,
    };
    if let Some(title) = title.filter(|_| evidence.knows(Code::SampleVsMode)) {
        return Some(known.told(Finding::new(&SAMPLE_VS_MODE, title)));
    }
    // Where the posterior's spread is 1 or 2, its own draws look like wrong ones; fewer values look like
    // anything.
    if draw || off.len() < ENOUGH {
        return None;
    }
    let over_variance =
        Zip::from(&off).and(std).map_collect(|&off, &std| off / (std * std).max(1e-12));
    // Other latents, less the mean, are as rough; but they have less of it.
    let independent = Line::through(&mean, &off)
        .is_none_or(|line| line.correlation.abs() < 0.15 + 3.0 / (off.len() as f64).sqrt());
    let visible = |noise: &Array4<f32>| spread(noise) > 3.0 * coarseness(found) * spread(&mean);
    let shifted = (known.level - 1.0).abs() <= 0.05 && known.spread <= 0.05;
    let title = match () {
        () if seen && shifted => {
            "your latents are the mean plus std: the noise was left out of the draw"
        }
        () if !visible(&off) || !independent => return None,
        () if Noise::of(&off).is_white(1.0) => {
            "your latents have noise of spread 1 added: the log-variance was dropped"
        }
        () if seen && known.is_white(std::f64::consts::SQRT_2) => {
            "your latents have the posterior's noise added twice"
        }
        () if !known.is_white(1.0) && Noise::of(&over_variance).is_white(1.0) => {
            "your latents are drawn with the variance in place of the standard deviation"
        }
        () => return None,
    };
    let relative = spread(&off) / spread(&mean).max(1e-12);
    let severity = if relative > ALTERED { Severity::Error } else { Severity::Warning };
    let finding = known.told(Finding::new(&POSTERIOR_NOISE, title).severity(severity));
    evidence.known(finding.evidence("relative_noise", relative))
}

/// Values that tell noise from chance.
pub(super) const ENOUGH: usize = 64;

/// Relative difference above which the picture is another to the eye.
pub(super) const ALTERED: f64 = 0.1;

/// Relative size of the steps in which values are stored, where that is f16 or bf16; 0 for f32.
pub(super) fn coarseness(found: &Array4<f32>) -> f64 {
    let stored = |dtype: Dtype| found.iter().all(|&value| dtype.round(value) == value);
    match () {
        () if stored(Dtype::Bf16) => 1.0 / 256.0,
        () if stored(Dtype::F16) => 1.0 / 2048.0,
        () => 0.0,
    }
}

/// RMS of the posterior's standard deviation over the spread of the latents.
pub(super) fn posterior_noise(evidence: &Evidence) -> f64 {
    let Some(std) = &evidence.encoded.std else { return 0.0 };
    let square = std.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>();
    let noise = (square / std.len().max(1) as f64).sqrt();
    noise / spread(&evidence.encoded.latents).max(1e-12)
}

/// How noise looks.
struct Noise {
    level: f64,
    spread: f64,
    /// Between neighbours of a row; `None` where there are none.
    correlation: Option<f64>,
    /// Fourth moment over the squared second: 3 for normal noise.
    kurtosis: f64,
    values: f64,
}

impl Noise {
    fn of(noise: &Array4<f32>) -> Self {
        let values = noise.len() as f64;
        let neighbours = Line::through(
            noise.slice(s![.., .., .., 1..]).iter(),
            noise.slice(s![.., .., .., ..-1]).iter(),
        );
        let level = noise.iter().map(|&value| f64::from(value)).sum::<f64>() / values;
        let spread = spread(noise);
        let fourth = noise.iter().map(|&value| ((f64::from(value) - level) / spread).powi(4));
        Self {
            level,
            spread,
            kurtosis: fourth.sum::<f64>() / values,
            correlation: neighbours.map(|line| line.correlation),
            values,
        }
    }

    /// Whether it is normal noise of this spread, as far as its moments and roughness tell.
    fn is_white(&self, spread: f64) -> bool {
        // The spread of a sample's standard deviation is 1 / sqrt(2 n).
        let room = 0.1 + 3.0 / (2.0 * self.values).sqrt();
        let rough = |correlation: f64| correlation.abs() < 0.15 + 3.0 / self.values.sqrt();
        // That of a sample's kurtosis is sqrt(24 / n).
        let normal = (self.kurtosis - 3.0).abs() <= 0.5 + 3.0 * (24.0 / self.values).sqrt();
        normal
            && (self.spread / spread - 1.0).abs() <= room
            && (self.level / spread).abs() <= room
            && self.correlation.is_none_or(rough)
    }

    fn told(&self, finding: Finding) -> Finding {
        finding.evidence("standardised_mean", self.level).evidence("standardised_std", self.spread)
    }
}

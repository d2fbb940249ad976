//! The moments of one channel of latents, and how those of several pictures go together.

use ndarray::{Array4, ArrayView2, Axis, s};
use vae_fidelity_core::vae::Encoded;

/// The clamp that diffusers' `DiagonalGaussianDistribution` puts on the log-variance.
const LOGVAR: (f64, f64) = (-30.0, 20.0);

/// Moments of the values of one channel; of one picture, or of several put together with [`Self::merge`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ChannelMoments {
    /// Number of values.
    pub values: u64,
    /// Mean.
    pub mean: f64,
    /// Sum of squared distances from the mean.
    pub m2: f64,
    /// Sum of their cubes.
    pub m3: f64,
    /// Sum of their fourth powers.
    pub m4: f64,
    /// Smallest value.
    pub min: f64,
    /// Largest value.
    pub max: f64,
    /// Mean of the posterior's means; that of the values where there is no posterior.
    pub posterior_mean: f64,
    /// Sum of their squared distances from it.
    pub posterior_m2: f64,
    /// Sum over all values of the divergence of the posterior from a standard normal distribution, in
    /// nats; `None` where there is no posterior.
    pub kl: Option<f64>,
}

impl ChannelMoments {
    /// Those of each channel of the first picture of `encoded`.
    pub fn of(encoded: &Encoded) -> Vec<Self> {
        let latents = &encoded.latents;
        let channels = latents.dim().1;
        (0..channels)
            .map(|channel| {
                let plane = latents.slice(s![0, channel, .., ..]);
                let moments = encoded.moments.as_ref().map(|moments| planes(moments, channel));
                Self::of_channel(plane, moments)
            })
            .collect()
    }

    fn of_channel(
        values: ArrayView2<f32>,
        posterior: Option<(ArrayView2<f32>, ArrayView2<f32>)>,
    ) -> Self {
        let (mean, m2) = mean_and_m2(values);
        let mut of = Self {
            values: values.len() as u64,
            mean,
            m2,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            posterior_mean: mean,
            posterior_m2: m2,
            ..Self::default()
        };
        for &value in values {
            let value = f64::from(value);
            let distance = value - mean;
            of.m3 += distance * distance * distance;
            of.m4 += distance * distance * distance * distance;
            of.min = of.min.min(value);
            of.max = of.max.max(value);
        }
        if let Some((means, logvars)) = posterior {
            (of.posterior_mean, of.posterior_m2) = mean_and_m2(means);
            let each = means.iter().zip(logvars).map(|(&mean, &logvar)| {
                let (mean, logvar) = (f64::from(mean), f64::from(logvar).clamp(LOGVAR.0, LOGVAR.1));
                0.5 * (mean * mean + logvar.exp() - 1.0 - logvar)
            });
            of.kl = Some(each.sum());
        }
        of
    }

    /// The moments of the values of both. (Chan, Golub, LeVeque 1979; Pébay 2008 for the higher ones.)
    #[must_use]
    pub fn merge(&self, other: &Self) -> Self {
        if self.values == 0 {
            return *other;
        }
        let (n_a, n_b) = (self.values as f64, other.values as f64);
        let n = n_a + n_b;
        let d = other.mean - self.mean;
        let m2 = self.m2 + other.m2 + d * d * n_a * n_b / n;
        let m3 = self.m3
            + other.m3
            + d.powi(3) * n_a * n_b * (n_a - n_b) / (n * n)
            + 3.0 * d * (n_a * other.m2 - n_b * self.m2) / n;
        let m4 = self.m4
            + other.m4
            + d.powi(4) * n_a * n_b * (n_a * n_a - n_a * n_b + n_b * n_b) / (n * n * n)
            + 6.0 * d * d * (n_a * n_a * other.m2 + n_b * n_b * self.m2) / (n * n)
            + 4.0 * d * (n_a * other.m3 - n_b * self.m3) / n;
        let posterior = other.posterior_mean - self.posterior_mean;
        Self {
            values: self.values + other.values,
            mean: self.mean + d * n_b / n,
            m2,
            m3,
            m4,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            posterior_mean: self.posterior_mean + posterior * n_b / n,
            posterior_m2: self.posterior_m2
                + other.posterior_m2
                + posterior * posterior * n_a * n_b / n,
            kl: self.kl.zip(other.kl).map(|(a, b)| a + b),
        }
    }

    /// Standard deviation of the population.
    pub fn std(&self) -> f64 {
        (self.m2 / self.values as f64).sqrt()
    }

    /// Fourth central moment over the square of the variance: 3 for a normal distribution; `None` where
    /// all values are one.
    pub fn kurtosis(&self) -> Option<f64> {
        (self.m2 > 0.0).then(|| self.m4 * self.values as f64 / (self.m2 * self.m2))
    }
}

/// Means and log-variances of one channel of the posterior.
fn planes(moments: &Array4<f32>, channel: usize) -> (ArrayView2<'_, f32>, ArrayView2<'_, f32>) {
    let half = moments.dim().1 / 2;
    let plane = |channel| moments.index_axis(Axis(0), 0).index_axis_move(Axis(0), channel);
    (plane(channel), plane(channel + half))
}

fn mean_and_m2(values: ArrayView2<f32>) -> (f64, f64) {
    let sum: f64 = values.iter().map(|&value| f64::from(value)).sum();
    let mean = sum / values.len() as f64;
    (mean, values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array;

    #[test]
    fn moments_of_parts_are_those_of_the_whole() {
        let value = |i: usize| ((i * 7919 % 101) as f32 - 31.0) / 7.0;
        let whole = Array::from_shape_fn((6, 10), |(y, x)| value(10 * y + x));
        let all = ChannelMoments::of_channel(whole.view(), None);
        let merged = [0..1, 1..3, 3..6]
            .map(|rows| ChannelMoments::of_channel(whole.slice(s![rows, ..]), None))
            .iter()
            .fold(ChannelMoments::default(), |sum, part| sum.merge(part));
        for (found, expected) in [
            (merged.mean, all.mean),
            (merged.m2, all.m2),
            (merged.m3, all.m3),
            (merged.m4, all.m4),
            (merged.posterior_m2, all.posterior_m2),
        ] {
            assert!(
                (found - expected).abs() < 1e-9 * expected.abs().max(1.0),
                "{found} {expected}"
            );
        }
        assert_eq!((merged.min, merged.max), (all.min, all.max));
    }
}

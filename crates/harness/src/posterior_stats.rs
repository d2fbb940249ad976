//! Statistics of posterior samples: the mean and variance of those that an implementation samples with
//! random numbers of its own, compared with the golden moments.

use ndarray::{Array4, ArrayView4, Axis};

use super::compare::Tolerance;
use super::posterior::{LOGVAR_RANGE, clamp_missing, half_logvar, std_of, widest_logvar};
use super::report::{Check, Step};

/// Posterior samples that an implementation is asked for.
pub(super) const SAMPLES: usize = 64;
/// How many standard errors a statistic may be off: one honest run in 500 million is further.
const SIGMAS: f64 = 6.0;

/// One latent: its distribution in the golden, and the statistics of its samples.
struct Latent {
    logvar: f32,
    mean: f64,
    std: f64,
    sample_mean: f64,
    sample_variance: f64,
    /// Spacing of f32 at the mean: samples cannot be finer.
    spacing: f64,
}

/// Judges posterior `samples` (each (N, C, h, w), unscaled) against `moments` (N, 2C, h, w), whose own values
/// may be off by `tolerance`.
pub(super) fn check(
    moments: ArrayView4<f32>,
    samples: &[Array4<f32>],
    tolerance: Tolerance,
) -> Check {
    let channels = moments.dim().1 / 2;
    let (mean, logvar) = moments.split_at(Axis(1), channels);
    if samples.len() < 2 {
        return Check::failed(
            Step::PosteriorSamples,
            format!("expected {SAMPLES} posterior samples, found {}", samples.len()),
        );
    }
    if let Some(other) = samples.iter().find(|sample| sample.dim() != mean.dim()) {
        let (found, expected) = (other.shape(), mean.shape());
        return Check::failed(
            Step::PosteriorSamples,
            format!("shape {found:?}, expected {expected:?}"),
        );
    }
    let values = samples.len() * mean.len();
    let wild = samples.iter().flatten().filter(|value| !value.is_finite()).count();
    if wild > 0 {
        let reason = format!("{wild} of {values} sampled values are NaN or infinite");
        let overflows = logvar.iter().any(|&logvar| !(0.5 * logvar).exp().is_finite());
        return Check {
            looks_like: overflows.then(clamp_missing),
            ..Check::failed(Step::PosteriorSamples, reason)
        };
    }
    let latents = latents(mean, logvar, samples);
    let wrong_spread = [
        (
            "clamped at the lower end",
            Box::new(|logvar: f32| logvar < LOGVAR_RANGE.0) as Box<dyn Fn(f32) -> bool>,
        ),
        ("clamped at the upper end", Box::new(|logvar| logvar > LOGVAR_RANGE.1)),
        ("not clamped", Box::new(|logvar| (LOGVAR_RANGE.0..=LOGVAR_RANGE.1).contains(&logvar))),
    ];
    let wrong_spread: Vec<(String, bool)> = wrong_spread
        .into_iter()
        .filter_map(|(which, belongs)| {
            let group: Vec<&Latent> = latents.iter().filter(|one| belongs(one.logvar)).collect();
            spread(which, &group, samples.len(), tolerance)
        })
        .collect();
    let off = latents.iter().filter(|one| !one.mean_agrees(samples.len(), tolerance)).count();
    let mut reasons: Vec<String> = wrong_spread.iter().map(|(text, _)| text.clone()).collect();
    if off > 0 {
        reasons.push(format!(
            "the means of {} samples are off by more than {SIGMAS} standard errors in {off} of {} latents",
            samples.len(),
            latents.len()
        ));
    }
    if reasons.is_empty() {
        return Check::within(
            Step::PosteriorSamples,
            format!("judged by mean and variance of {} posterior samples", samples.len()),
        );
    }
    let unclamped = wrong_spread.iter().any(|(_, unclamped)| *unclamped);
    Check {
        looks_like: unclamped.then(clamp_missing),
        ..Check::failed(Step::PosteriorSamples, reasons.join("; "))
    }
}

fn latents(mean: ArrayView4<f32>, logvar: ArrayView4<f32>, samples: &[Array4<f32>]) -> Vec<Latent> {
    let std = std_of(logvar);
    let count = samples.len() as f64;
    mean.indexed_iter()
        .map(|(at, &mean)| {
            let sampled = || samples.iter().map(|sample| f64::from(sample[at]));
            let sample_mean = sampled().sum::<f64>() / count;
            let squares: f64 = sampled().map(|value| (value - sample_mean).powi(2)).sum();
            Latent {
                logvar: logvar[at],
                mean: f64::from(mean),
                std: f64::from(std[at]),
                sample_mean,
                sample_variance: squares / (count - 1.0),
                spacing: f64::from(mean.abs() * f32::EPSILON),
            }
        })
        .collect()
}

impl Latent {
    fn mean_agrees(&self, samples: usize, tolerance: Tolerance) -> bool {
        // A wrong spread is a finding of its own; it must not show as a wrong mean too.
        let spread = self.std.max(self.sample_variance.sqrt());
        let allowed = tolerance.atol()
            + tolerance.rtol() * self.mean.abs()
            + SIGMAS * spread / (samples as f64).sqrt()
            + self.spacing;
        (self.sample_mean - self.mean).abs() <= allowed
    }

    /// Variance that samples should have: the golden's, and that of rounding to f32.
    fn variance(&self) -> f64 {
        self.std.powi(2) + self.spacing.powi(2) / 12.0
    }
}

/// What is wrong with the spread of a group of latents, and whether a missing clamp makes just that.
fn spread(
    which: &str,
    group: &[&Latent],
    samples: usize,
    tolerance: Tolerance,
) -> Option<(String, bool)> {
    // Where f32 is coarser than the standard deviation, samples say nothing about it.
    let told: Vec<&&Latent> = group.iter().filter(|one| one.std > one.spacing).collect();
    if told.is_empty() {
        return None;
    }
    let ratio = |of: &dyn Fn(&Latent) -> f64| {
        let sum: f64 = told.iter().map(|one| of(one) / one.variance()).sum();
        (sum / told.len() as f64).sqrt()
    };
    let found = ratio(&|one| one.sample_variance);
    let freedom = ((samples - 1) * told.len()) as f64;
    let widest = widest_logvar(told.iter().map(|one| one.logvar));
    let allowed = SIGMAS / (2.0 * freedom).sqrt() + half_logvar(tolerance, widest) + 1e-3;
    if (found - 1.0).abs() <= allowed {
        return None;
    }
    let text = format!(
        "where the log-variance is {which}, samples spread {found:.3e} times as far as they should \
         ({} latents, {samples} samples)",
        told.len()
    );
    // Latent by latent, since the largest log-variance would outweigh all others in a sum; and with a
    // little added to both, since a standard deviation may have underflowed to 0.
    let against_unclamped: f64 = told
        .iter()
        .map(|one| {
            let little = 1e-3 * one.variance();
            (one.sample_variance + little) / (f64::from(one.logvar).exp() + little)
        })
        .sum();
    let as_unclamped = (against_unclamped / told.len() as f64).sqrt();
    Some((text, (as_unclamped - 1.0).abs() <= allowed.max(0.1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome;
    use vae_fidelity_core::recipe::scrambled;

    /// Mean 0.5 and these log-variances, over 10 x 10 latents each.
    fn moments(logvars: &[f32]) -> Array4<f32> {
        let channels = logvars.len();
        Array4::from_shape_fn((1, 2 * channels, 10, 10), |(_, channel, ..)| {
            channel.checked_sub(channels).map_or(0.5, |at| logvars[at])
        })
    }

    /// Samples mean + `std`(logvar) * noise, the noise by Box and Muller from the recipe's hash.
    fn samples(moments: &Array4<f32>, std: impl Fn(f32) -> f32) -> Vec<Array4<f32>> {
        let channels = moments.dim().1 / 2;
        let (mean, logvar) = moments.view().split_at(Axis(1), channels);
        let mut seed = 0;
        let mut uniform = || {
            seed += 1;
            ((scrambled(1, seed) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
        };
        (0..SAMPLES)
            .map(|_| {
                let noise = mean.mapv(|_| {
                    let radius = (-2.0 * uniform().ln()).sqrt();
                    (radius * (std::f64::consts::TAU * uniform()).cos()) as f32
                });
                &mean + &logvar.mapv(&std) * &noise
            })
            .collect()
    }

    fn judged(logvars: &[f32], std: impl Fn(f32) -> f32) -> Check {
        let moments = moments(logvars);
        check(moments.view(), &samples(&moments, std), Tolerance::new(1e-5, 1e-5).unwrap())
    }

    fn clamped(logvar: f32) -> f32 {
        (0.5 * logvar.clamp(-30.0, 20.0)).exp()
    }

    const LOGVARS: [f32; 4] = [-20.0, 0.0, 3.0, 40.0];

    #[test]
    fn honest_samples_pass() {
        let found = judged(&LOGVARS, clamped);
        assert_eq!(found.outcome, Outcome::WithinTolerance, "{found:?}");
        assert!(found.reason.unwrap().contains("64 posterior samples"));
    }

    #[test]
    fn another_spread_or_mean_fails() {
        for factor in [0.8, 1.25, 0.0] {
            let found = judged(&LOGVARS, |logvar| factor * clamped(logvar));
            assert_eq!(found.outcome, Outcome::Failed, "{factor}");
            assert_eq!(found.looks_like, None, "{factor} is no missing clamp");
        }
        let moments = moments(&LOGVARS);
        let mut shifted = samples(&moments, clamped);
        shifted.iter_mut().for_each(|sample| sample[[0, 0, 3, 4]] += 0.01);
        let found = check(moments.view(), &shifted, Tolerance::new(1e-5, 1e-5).unwrap());
        assert!(found.reason.unwrap().contains("in 1 of 400 latents"));
    }

    #[test]
    fn a_missing_clamp_is_named_at_either_end_and_where_it_overflows() {
        for logvars in [&[-40.0][..], &[40.0], &[30.0, 45.0, 60.0, 90.0], &[250.0, 0.0]] {
            let found = judged(logvars, |logvar| (0.5 * logvar).exp());
            assert_eq!(found.outcome, Outcome::Failed, "{logvars:?}");
            assert!(found.looks_like.as_ref().unwrap().contains("without a clamp"), "{found:?}");
        }
    }

    #[test]
    fn nan_and_shapes_fail() {
        let moments = moments(&LOGVARS);
        let tolerance = Tolerance::new(1e-5, 1e-5).unwrap();
        let mut some = samples(&moments, clamped);
        some[5][[0, 1, 2, 3]] = f32::NAN;
        let found = check(moments.view(), &some, tolerance);
        assert!(found.reason.unwrap().contains("1 of 25600 sampled values are NaN"));
        let narrow = vec![Array4::zeros((1, 4, 10, 9)); 2];
        let found = check(moments.view(), &narrow, tolerance);
        assert!(found.reason.unwrap().contains("expected [1, 4, 10, 10]"));
        assert_eq!(check(moments.view(), &some[..1], tolerance).outcome, Outcome::Failed);
    }
}

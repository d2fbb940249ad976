//! Draws that an implementation makes with random numbers of its own: their means and their spread,
//! held against the golden moments.

use ndarray::{Array4, ArrayView4, Axis};

use super::compare::Tolerance;
use super::explain::clamp_missing;
use super::posterior::{LOGVAR_RANGE, std_of};
use super::report::{Check, Step};

/// Draws that are asked for.
pub(super) const DRAWS: usize = 64;
/// How many standard errors a statistic may be off: one honest run in 500 million is further.
const SIGMAS: f64 = 6.0;

/// One latent: what the golden says about it, and what the draws show.
struct Latent {
    logvar: f32,
    mean: f64,
    std: f64,
    drawn_mean: f64,
    drawn_variance: f64,
    /// Spacing of f32 at the mean: draws cannot be finer.
    grain: f64,
}

/// Judges `draws` (each (N, C, h, w), unscaled) against `moments` (N, 2C, h, w), whose own values
/// may be off by `tolerance`.
pub(super) fn check(
    moments: ArrayView4<f32>,
    draws: &[Array4<f32>],
    tolerance: Tolerance,
) -> Check {
    let channels = moments.dim().1 / 2;
    let (mean, logvar) = moments.split_at(Axis(1), channels);
    if draws.len() < 2 {
        return Check::failed(
            Step::Draws,
            format!("expected {DRAWS} draws, found {}", draws.len()),
        );
    }
    if let Some(other) = draws.iter().find(|draw| draw.dim() != mean.dim()) {
        let (found, expected) = (other.shape(), mean.shape());
        return Check::failed(Step::Draws, format!("shape {found:?}, expected {expected:?}"));
    }
    let values = draws.len() * mean.len();
    let wild = draws.iter().flatten().filter(|value| !value.is_finite()).count();
    if wild > 0 {
        let reason = format!("{wild} of {values} drawn values are NaN or infinite");
        let overflows = logvar.iter().any(|&logvar| !(0.5 * logvar).exp().is_finite());
        return Check {
            looks_like: overflows.then(clamp_missing),
            ..Check::failed(Step::Draws, reason)
        };
    }
    let latents = latents(mean, logvar, draws);
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
            spread(which, &group, draws.len(), tolerance)
        })
        .collect();
    let off = latents.iter().filter(|one| !one.mean_agrees(draws.len(), tolerance)).count();
    let mut reasons: Vec<String> = wrong_spread.iter().map(|(text, _)| text.clone()).collect();
    if off > 0 {
        reasons.push(format!(
            "the means of {} draws are off by more than {SIGMAS} standard errors in {off} of {} latents",
            draws.len(),
            latents.len()
        ));
    }
    if reasons.is_empty() {
        return Check::within(
            Step::Draws,
            format!("judged by mean and spread of {} draws", draws.len()),
        );
    }
    let unclamped = wrong_spread.iter().any(|(_, unclamped)| *unclamped);
    Check {
        looks_like: unclamped.then(clamp_missing),
        ..Check::failed(Step::Draws, reasons.join("; "))
    }
}

fn latents(mean: ArrayView4<f32>, logvar: ArrayView4<f32>, draws: &[Array4<f32>]) -> Vec<Latent> {
    let std = std_of(logvar);
    let count = draws.len() as f64;
    mean.indexed_iter()
        .map(|(at, &mean)| {
            let drawn = || draws.iter().map(|draw| f64::from(draw[at]));
            let drawn_mean = drawn().sum::<f64>() / count;
            let squares: f64 = drawn().map(|value| (value - drawn_mean).powi(2)).sum();
            Latent {
                logvar: logvar[at],
                mean: f64::from(mean),
                std: f64::from(std[at]),
                drawn_mean,
                drawn_variance: squares / (count - 1.0),
                grain: f64::from(mean.abs() * f32::EPSILON),
            }
        })
        .collect()
}

impl Latent {
    fn mean_agrees(&self, draws: usize, tolerance: Tolerance) -> bool {
        // A wrong spread is a finding of its own; it must not show as a wrong mean too.
        let spread = self.std.max(self.drawn_variance.sqrt());
        let allowed = tolerance.atol()
            + tolerance.rtol() * self.mean.abs()
            + SIGMAS * spread / (draws as f64).sqrt()
            + self.grain;
        (self.drawn_mean - self.mean).abs() <= allowed
    }

    /// Variance that draws should show: the golden's, and that of rounding to f32.
    fn variance(&self) -> f64 {
        self.std.powi(2) + self.grain.powi(2) / 12.0
    }
}

/// What is wrong with the spread of a group of latents, and whether a missing clamp makes just that.
fn spread(
    which: &str,
    group: &[&Latent],
    draws: usize,
    tolerance: Tolerance,
) -> Option<(String, bool)> {
    // Where f32 is coarser than the standard deviation, draws tell nothing about it.
    let told: Vec<&&Latent> = group.iter().filter(|one| one.std > one.grain).collect();
    if told.is_empty() {
        return None;
    }
    let ratio = |of: &dyn Fn(&Latent) -> f64| {
        let sum: f64 = told.iter().map(|one| of(one) / one.variance()).sum();
        (sum / told.len() as f64).sqrt()
    };
    let found = ratio(&|one| one.drawn_variance);
    let freedom = ((draws - 1) * told.len()) as f64;
    let allowed = SIGMAS / (2.0 * freedom).sqrt() + half_logvar(tolerance) + 1e-3;
    if (found - 1.0).abs() <= allowed {
        return None;
    }
    // Times the grain's share, as in what is expected.
    let unclamped = ratio(&|one| f64::from(one.logvar).exp() + one.grain.powi(2) / 12.0);
    let text = format!(
        "where the log-variance is {which}, draws spread {found:.3e} times as far as they should \
         ({} latents, {draws} draws)",
        told.len()
    );
    let matches = (found - unclamped).abs() <= allowed * unclamped + 1e-2;
    Some((text, matches && (unclamped - 1.0).abs() > allowed))
}

/// By how much a standard deviation may be off, relatively, when its log-variance may be off by
/// `tolerance`: half of it.
pub(super) fn half_logvar(tolerance: Tolerance) -> f64 {
    let widest = f64::from(LOGVAR_RANGE.0.abs().max(LOGVAR_RANGE.1));
    0.5 * (tolerance.atol() + tolerance.rtol() * widest)
}

//! diffusers' `DiagonalGaussianDistribution` on plain arrays: what golden moments stand for.

use ndarray::{Array4, ArrayView4};

use super::compare::Tolerance;
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_files::error::Result;

/// What diffusers clamps the log-variance to.
pub(super) const LOGVAR_RANGE: (f32, f32) = (-30.0, 20.0);

/// exp(logvar / 2), the log-variance clamped.
pub(super) fn std_of(logvar: ArrayView4<f32>) -> Array4<f32> {
    let (low, high) = LOGVAR_RANGE;
    // In f64 and rounded once: no libm's f32 `exp` is everyone's.
    logvar.mapv(|logvar| f64::from(0.5 * logvar.clamp(low, high)).exp() as f32)
}

/// The largest magnitude of these log-variances once they are clamped.
pub(super) fn widest_logvar(logvars: impl Iterator<Item = f32>) -> f64 {
    let (low, high) = LOGVAR_RANGE;
    logvars.map(|logvar| logvar.clamp(low, high).abs().into()).fold(0.0, f64::max)
}

/// What a value looks like whose log-variance was not clamped.
pub(super) fn clamp_missing() -> String {
    let (low, high) = LOGVAR_RANGE;
    format!(
        "this is what exp(logvar / 2) gives without a clamp: clamp the log-variance to [{low}, {high}] \
         first, as diffusers' DiagonalGaussianDistribution does"
    )
}

/// By how much a standard deviation may be off, relatively, when its log-variance, of magnitude
/// `widest` at most, may be off by `tolerance`: half of it.
pub(super) fn half_logvar(tolerance: Tolerance, widest: f64) -> f64 {
    0.5 * (tolerance.atol() + tolerance.rtol() * widest)
}

/// By how much a standard deviation may be off when its moments may be off by `moments`, its
/// log-variance is `widest` at most, and it is computed from them in `dtype`.
pub(super) fn std_tolerance(dtype: Dtype, moments: Tolerance, widest: f64) -> Result<Tolerance> {
    let inherited = half_logvar(moments, widest);
    // Half the log-variance is rounded before its exponential is: by half a step each.
    let rounded = 0.5 * dtype.epsilon() * (0.5 * widest + 1.0);
    match dtype {
        // A last bit more: not every `exp` is rounded correctly.
        Dtype::F32 => Tolerance::new(0.0, inherited.exp_m1() + 1e-6),
        // The smallest f16 above zero is 2^-24.
        Dtype::F16 => Tolerance::new(2f64.powi(-24), inherited.exp_m1() + rounded),
        Dtype::Bf16 => Tolerance::new(0.0, inherited.exp_m1() + rounded),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A step of bf16 in a log-variance near -30 is nothing beside one near 1: the widest counts.
    #[test]
    fn a_standard_deviation_is_as_uncertain_as_its_own_log_variance() {
        let moments = Tolerance::new(0.0625, 3.0 * Dtype::Bf16.epsilon()).unwrap();
        let relative = |widest| std_tolerance(Dtype::Bf16, moments, widest).unwrap().rtol();
        let near_one = (0.5 * (0.0625 + 3.0 / 128.0_f64)).exp_m1() + 1.5 / 256.0;
        approx::assert_relative_eq!(relative(1.0), near_one, max_relative = 1e-12);
        assert!(relative(30.0) > 8.0 * relative(1.0));
        assert_eq!(widest_logvar([-0.5, f32::MAX].into_iter()), 20.0, "as clamped");
        assert_eq!(widest_logvar([-40.0, 25.0].into_iter()), 30.0);
    }
}

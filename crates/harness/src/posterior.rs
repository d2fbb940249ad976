//! diffusers' `DiagonalGaussianDistribution` on plain arrays: what golden moments stand for.

use ndarray::{Array4, ArrayView4};

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

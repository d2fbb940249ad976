//! Two pictures' alpha.

use serde::{Deserialize, Serialize};

use super::psnr::decibels;
use vae_fidelity_files::error::{Error, Result};
use vae_fidelity_pixels::Alpha8;

/// The difference between alpha `b` and alpha `a`, in 8-bit values: what metrics of colours leave out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AlphaMetrics {
    /// Whether every value is the same.
    pub identical: bool,
    /// Peak signal-to-noise ratio in dB; `None` where all is the same, and it is infinite.
    pub psnr_db: Option<f64>,
    /// Mean absolute error, in 8-bit values.
    pub mae: f64,
    /// Largest absolute difference, in 8-bit values.
    pub max_abs_diff: u8,
    /// Mean of `b - a`: negative where `b` is more transparent.
    pub mean_error: f64,
    /// Whether `a` is opaque throughout.
    pub source_is_opaque: bool,
}

impl AlphaMetrics {
    /// Compares `b` with `a`, over the top left that both have.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such part.
    ///
    /// # Examples
    ///
    /// ```
    /// use vae_fidelity_core::metrics::AlphaMetrics;
    /// use vae_fidelity_pixels::Alpha8;
    /// let opaque = Alpha8::new(2, 1, vec![255, 255]).unwrap();
    /// let half = Alpha8::new(2, 1, vec![255, 0]).unwrap();
    /// let metrics = AlphaMetrics::of(&opaque, &half).unwrap();
    /// assert_eq!((metrics.max_abs_diff, metrics.mean_error), (255, -127.5));
    /// assert!((metrics.psnr_db.unwrap() - 10.0 * 2f64.log10()).abs() < 1e-12);
    /// ```
    pub fn of(a: &Alpha8, b: &Alpha8) -> Result<Self> {
        let (width, height) = (a.width().min(b.width()), a.height().min(b.height()));
        if width * height == 0 {
            return Err(Error::tensor("alpha", "nothing to compare", "pass two pictures"));
        }
        let (mut squares, mut absolute, mut signed, mut worst) = (0u64, 0u64, 0i64, 0u8);
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let (a, b) = (a.value(x, y), b.value(x, y));
            let difference = a.abs_diff(b);
            worst = worst.max(difference);
            squares += u64::from(difference).pow(2);
            absolute += u64::from(difference);
            signed += i64::from(b) - i64::from(a);
        }
        let values = width * height;
        Ok(Self {
            identical: worst == 0,
            psnr_db: (worst > 0).then(|| decibels(squares, values)),
            mae: absolute as f64 / values as f64,
            max_abs_diff: worst,
            mean_error: signed as f64 / values as f64,
            source_is_opaque: a.is_opaque(),
        })
    }
}

//! Two pictures of one size: PSNR, SSIM and plain differences.

use serde::{Deserialize, Serialize};

use super::ssim::ssim;
use vae_fidelity_files::error::{Error, Result};
use vae_fidelity_pixels::Rgb8;

/// The difference between picture `b` and picture `a`, in 8-bit values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PixelMetrics {
    /// Whether every byte is the same.
    pub identical: bool,
    /// Peak signal-to-noise ratio in dB, `10 log10(255² / MSE)` with the mean squared error over
    /// all three channels; `None` for identical pictures, where it is infinite.
    pub psnr_db: Option<f64>,
    /// Structural similarity, at most 1 (see [`ssim`]); `None` where a side is under 11 pixels.
    pub ssim: Option<f64>,
    /// SSIM over five scales, 0 to 1 ([`ms_ssim`](super::ms_ssim)); `None` where a side is under 176 pixels, or
    /// it was not asked for.
    pub ms_ssim: Option<f64>,
    /// How good `b` looks, at most 100 (SSIMULACRA 2); `None` where a side is under 8 pixels,
    /// or it was not asked for.
    pub ssimulacra2: Option<f64>,
    /// How visible the difference is at its worst: 1 is just noticed (Butteraugli's distance); `None`
    /// where a side is under 8 pixels, or it was not asked for.
    pub butteraugli: Option<f64>,
    /// Mean absolute error over all channels, in 8-bit values.
    pub mae: f64,
    /// Largest absolute difference, in 8-bit values.
    pub max_abs_diff: u8,
    /// Where that difference is first met, row by row; `None` for identical pictures.
    pub max_abs_diff_at: Option<Position>,
    /// Mean of `b - a` for red, green and blue, in 8-bit values: positive where `b` is brighter.
    pub mean_error: [f64; 3],
    /// Pixels in which at least one channel differs.
    pub differing_pixels: usize,
}

/// One channel of one pixel, counted from the top left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Column, from 0.
    pub x: usize,
    /// Row, from 0.
    pub y: usize,
    /// Which of the three channels.
    pub channel: Channel,
}

/// A channel of an RGB picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// The first.
    Red,
    /// The second.
    Green,
    /// The third.
    Blue,
}

impl PixelMetrics {
    /// [`PixelMetrics::psnr_db`], infinite for identical pictures.
    pub fn psnr_or_infinity(&self) -> Option<f64> {
        if self.identical { Some(f64::INFINITY) } else { self.psnr_db }
    }

    /// Compares `b` with `a`, without MS-SSIM and the perceptual metrics.
    ///
    /// # Errors
    ///
    /// Returns an error if the sizes differ.
    ///
    /// # Examples
    ///
    /// ```
    /// use vae_fidelity_pixels::Rgb8;
    /// use vae_fidelity_core::metrics::PixelMetrics;
    /// let black = Rgb8::new(1, 1, vec![0, 0, 0]).unwrap();
    /// let reddish = Rgb8::new(1, 1, vec![255, 0, 0]).unwrap();
    /// let metrics = PixelMetrics::of(&black, &reddish).unwrap();
    /// assert_eq!(metrics.max_abs_diff, 255);
    /// assert!((metrics.psnr_db.unwrap() - 10.0 * 3f64.log10()).abs() < 1e-12);
    /// assert_eq!(metrics.mean_error, [255.0, 0.0, 0.0]);
    /// ```
    pub fn of(a: &Rgb8, b: &Rgb8) -> Result<Self> {
        Ok(Self { ssim: ssim(a, b), ..Self::of_levels(a, b)? })
    }

    /// What is of each level and its counterpart alone, without SSIM.
    pub(super) fn of_levels(a: &Rgb8, b: &Rgb8) -> Result<Self> {
        let (size_a, size_b) = ((a.width(), a.height()), (b.width(), b.height()));
        if size_a != size_b {
            return Err(Error::tensor(
                "pictures",
                format!(
                    "expected one size, found {} x {} and {} x {}",
                    size_a.0, size_a.1, size_b.0, size_b.1
                ),
                "resize or crop one of them",
            ));
        }
        let mut worst: Option<(u8, usize)> = None;
        let mut squares = 0u64;
        let mut absolute = 0u64;
        let mut signed = [0i64; 3];
        for (index, (&a, &b)) in a.data().iter().zip(b.data()).enumerate() {
            let difference = a.abs_diff(b);
            if difference > worst.map_or(0, |(largest, _)| largest) {
                worst = Some((difference, index));
            }
            squares += u64::from(difference).pow(2);
            absolute += u64::from(difference);
            signed[index % 3] += i64::from(b) - i64::from(a);
        }
        let values = a.data().len() as f64;
        let differing_pixels =
            a.data().chunks_exact(3).zip(b.data().chunks_exact(3)).filter(|(a, b)| a != b).count();
        Ok(Self {
            identical: worst.is_none(),
            psnr_db: worst.map(|_| super::psnr::decibels(squares, a.data().len())),
            ssim: None,
            ms_ssim: None,
            ssimulacra2: None,
            butteraugli: None,
            mae: absolute as f64 / values,
            max_abs_diff: worst.map_or(0, |(largest, _)| largest),
            max_abs_diff_at: worst.map(|(_, index)| Position::of(index, a.width())),
            mean_error: signed.map(|sum| sum as f64 / (values / 3.0)),
            differing_pixels,
        })
    }
}

impl Position {
    /// The position of byte `index` in a picture of `width` columns.
    fn of(index: usize, width: usize) -> Self {
        let pixel = index / 3;
        Self {
            x: pixel % width,
            y: pixel / width,
            channel: [Channel::Red, Channel::Green, Channel::Blue][index % 3],
        }
    }
}

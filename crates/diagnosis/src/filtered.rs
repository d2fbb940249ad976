//! A picture that was blurred.

use super::legitimate::Distance;
use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::Rgb8;

/// Standard deviations in pixels that are tried.
const SIGMAS: [f64; 6] = [0.6, 0.8, 1.0, 1.5, 2.0, 3.0];
/// How much of the difference a blur has to explain.
const LEFT: f64 = 0.6;
/// What is left of the difference where a blur is all of it.
const ALL: f64 = 0.35;

/// A Gaussian blur, and what it leaves of the difference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Blur {
    pub sigma_pixels: f64,
    pub left_rms_levels: f64,
}

impl Blur {
    /// Whether it is all that happened to a picture that was this far off: compression softens too, and
    /// leaves more.
    pub fn is_all_of(&self, rms_levels: f64) -> bool {
        self.left_rms_levels <= ALL * rms_levels
    }
}

/// The blur that explains most of the difference, where one does.
pub(super) fn blur(ours: &Rgb8, theirs: &Rgb8) -> Result<Option<Blur>> {
    let before = Distance::between(ours, theirs).rms;
    let mut best: Option<Blur> = None;
    for sigma_pixels in SIGMAS {
        let left_rms_levels = Distance::between(&blurred(ours, sigma_pixels)?, theirs).rms;
        if left_rms_levels <= LEFT * before
            && best.is_none_or(|best| left_rms_levels < best.left_rms_levels)
        {
            best = Some(Blur { sigma_pixels, left_rms_levels });
        }
    }
    Ok(best)
}

/// A Gaussian of this standard deviation, edges repeated.
fn blurred(picture: &Rgb8, sigma: f64) -> Result<Rgb8> {
    let (width, height) = (picture.width(), picture.height());
    let reach = (3.0 * sigma).ceil() as usize;
    let weights: Vec<f64> = (0..=2 * reach)
        .map(|i| (-(i as f64 - reach as f64).powi(2) / (2.0 * sigma * sigma)).exp())
        .collect();
    let sum: f64 = weights.iter().sum();
    let near = |at: usize, tap: usize, end: usize| (at + tap).saturating_sub(reach).min(end - 1);
    let levels: Vec<f64> = picture.data().iter().map(|&level| f64::from(level)).collect();
    let along = |levels: &[f64], across: bool| -> Vec<f64> {
        (0..levels.len())
            .map(|i| {
                let (channel, x, y) = (i % 3, i / 3 % width, i / 3 / width);
                let taps = weights.iter().enumerate().map(|(tap, weight)| {
                    let (x, y) = match across {
                        true => (near(x, tap, width), y),
                        false => (x, near(y, tap, height)),
                    };
                    weight * levels[3 * (y * width + x) + channel]
                });
                taps.sum::<f64>() / sum
            })
            .collect()
    };
    let both = along(&along(&levels, true), false);
    Rgb8::new(width, height, both.iter().map(|level| level.round() as u8).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blur_is_measured_and_other_differences_are_none() {
        let rough = |i: usize| (i * 7919 % 251) as u8;
        let sharp = Rgb8::new(40, 32, (0..40 * 32 * 3).map(rough).collect()).unwrap();
        let soft = blurred(&sharp, 1.5).unwrap();
        let found = blur(&sharp, &soft).unwrap().unwrap();
        assert_eq!((found.sigma_pixels, found.left_rms_levels), (1.5, 0.0));
        let lighter = sharp.data().iter().map(|level| level.saturating_add(30)).collect();
        assert_eq!(blur(&sharp, &Rgb8::new(40, 32, lighter).unwrap()).unwrap(), None);
    }
}

//! How different two pictures look, by models of human vision.

use butteraugli::{ButteraugliParams, Img, RGB8, butteraugli};
use ssimulacra2::{LinearRgb, compute_frame_ssimulacra2};

use super::pixels::PixelMetrics;
use super::ssim::ssim_and_ms_ssim;
use crate::beside::beside;
use vae_fidelity_files::error::{Error, ErrorKind, Result};
use vae_fidelity_pixels::Rgb8;

/// Shorter side from which on [`ssimulacra2()`] and [`Visibility`] are defined, in pixels.
pub const PERCEPTUAL_SIDE: usize = 8;

/// SSIMULACRA 2 of two pictures of one size: 100 for identical ones, 90 where a difference can
/// hardly be seen side by side, 70 for high quality, 50 for medium, 30 for low; below 0 little is
/// left. `None` where sizes differ or a side is under [`PERCEPTUAL_SIDE`].
///
/// From the crate of that name, which follows Cloudinary's reference.
pub fn ssimulacra2(a: &Rgb8, b: &Rgb8) -> Option<f64> {
    compute_frame_ssimulacra2(linear(a)?, linear(b)?).ok().filter(|score| score.is_finite())
}

/// sRGB's own curve undone, in f32.
fn linear(picture: &Rgb8) -> Option<LinearRgb> {
    let curve: Vec<f32> = (0..=u8::MAX).map(butteraugli::srgb_to_linear).collect();
    let pixels = picture.data().chunks_exact(3);
    let pixels = pixels.map(|pixel| [0, 1, 2].map(|channel| curve[usize::from(pixel[channel])]));
    LinearRgb::new(pixels.collect(), picture.width(), picture.height()).ok()
}

impl PixelMetrics {
    /// Compares `b` with `a` by every metric, and says how visible the difference is at each pixel.
    ///
    /// The two perceptual metrics each take as long as all the others, so they run in parallel.
    ///
    /// # Errors
    ///
    /// Returns an error if the sizes differ.
    pub fn with_visibility(a: &Rgb8, b: &Rgb8) -> Result<(Self, Option<Visibility>)> {
        let metrics = Self::of_levels(a, b)?;
        let (visibility, (ssimulacra2, (ssim, ms_ssim))) = beside(
            || Visibility::of(a, b),
            || beside(|| ssimulacra2(a, b), || ssim_and_ms_ssim(a, b)),
        );
        let visibility = visibility?;
        let butteraugli = visibility.as_ref().map(Visibility::score);
        Ok((Self { ssim, ms_ssim, ssimulacra2, butteraugli, ..metrics }, visibility))
    }
}

/// How visible the difference of two pictures is: Butteraugli's distance, for each pixel and in all.
///
/// 1 is a difference that a viewer just notices, at 80 cd/m² and a usual distance; it grows with
/// how much is seen, without end. From the crate `butteraugli`, a port of libjxl's.
#[derive(Debug, Clone, PartialEq)]
pub struct Visibility {
    width: usize,
    distances: Vec<f32>,
    score: f64,
}

impl Visibility {
    /// Compares `b` with `a`, pictures of one size; `None` where a side is under
    /// [`PERCEPTUAL_SIDE`].
    ///
    /// # Errors
    ///
    /// Returns an error if the sizes differ.
    pub fn of(a: &Rgb8, b: &Rgb8) -> Result<Option<Self>> {
        if a.width().min(a.height()) < PERCEPTUAL_SIDE {
            return Ok(None);
        }
        let failed = |problem: String| {
            Error::new(ErrorKind::Tensor, "butteraugli", problem, "use pictures of one size")
        };
        let [a, b] = [a, b].map(|picture| {
            let pixels = picture.data().chunks_exact(3);
            let pixels = pixels.map(|pixel| RGB8::new(pixel[0], pixel[1], pixel[2]));
            Img::new(pixels.collect::<Vec<_>>(), picture.width(), picture.height())
        });
        let parameters = ButteraugliParams::default().with_compute_diffmap(true);
        let result = butteraugli(a.as_ref(), b.as_ref(), &parameters)
            .map_err(|error| failed(error.to_string()))?;
        let Some(map) = result.diffmap else {
            return Err(failed("no map of differences was computed".to_owned()));
        };
        let distances: Vec<f32> = map.pixels().collect();
        if !result.score.is_finite() || distances.iter().any(|distance| !distance.is_finite()) {
            return Err(failed("a distance is not finite".to_owned()));
        }
        Ok(Some(Self { width: map.width(), distances, score: result.score }))
    }

    /// The distance as a whole: the largest of the map.
    pub fn score(&self) -> f64 {
        self.score
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.distances.len() / self.width
    }

    /// The distance at each pixel, row by row.
    pub fn distances(&self) -> &[f32] {
        &self.distances
    }
}

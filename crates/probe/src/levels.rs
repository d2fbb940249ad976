//! A picture in levels of 255 that are not rounded.

use ndarray::ArrayView4;

use vae_fidelity_files::error::{Error, Result};
use vae_fidelity_pixels::Rgb8;

/// Red, green and blue of every pixel in levels from 0 to 255, row by row from the top left.
///
/// What a VAE decodes is measured before it is rounded to bytes, so that half a level counts. NaN stays
/// NaN.
#[derive(Debug, Clone, PartialEq)]
pub struct Levels {
    width: usize,
    height: usize,
    data: Vec<[f64; 3]>,
}

impl Levels {
    /// The bytes of `picture`.
    pub fn of_picture(picture: &Rgb8) -> Self {
        let pixels = picture.data().chunks_exact(3);
        let data = pixels.map(|pixel| [0, 1, 2].map(|channel| f64::from(pixel[channel])));
        Self { width: picture.width(), height: picture.height(), data: data.collect() }
    }

    /// The first picture of a decoded sample (N, 3, H, W): moved from [-1, 1] to levels, and clamped as
    /// every conversion to pixels clamps. A fourth channel, alpha, is left out.
    ///
    /// # Errors
    ///
    /// Returns an error unless `decoded` has three channels, or four, and a pixel.
    pub fn of_decoded(decoded: ArrayView4<f32>) -> Result<Self> {
        let (n, channels, height, width) = decoded.dim();
        if n == 0 || !matches!(channels, 3 | 4) || height == 0 || width == 0 {
            return Err(Error::tensor(
                "decoded",
                format!("expected (N, 3, H, W), found ({n}, {channels}, {height}, {width})"),
                "pass the output of a VAE, in RGB or RGBA",
            ));
        }
        // `clamp` keeps NaN.
        let level = |value: f32| ((f64::from(value) + 1.0) * 127.5).clamp(0.0, 255.0);
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        let data = pixels.map(|(x, y)| [0, 1, 2].map(|c| level(decoded[[0, c, y, x]])));
        Ok(Self { width, height, data: data.collect() })
    }

    /// Rounded to bytes, half to even; NaN becomes 0.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no pixel.
    pub fn to_picture(&self) -> Result<Rgb8> {
        let bytes = self.data.iter().flatten().map(|level| level.round_ties_even() as u8);
        Rgb8::new(self.width, self.height, bytes.collect())
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// All pixels, row by row.
    pub fn pixels(&self) -> &[[f64; 3]] {
        &self.data
    }

    /// Red, green and blue at column `x` of row `y`; panics outside the picture, as indexing does.
    pub fn pixel(&self, x: usize, y: usize) -> [f64; 3] {
        self.data[y * self.width + x]
    }

    /// The mean of the three channels at column `x` of row `y`; panics outside the picture.
    pub fn grey(&self, x: usize, y: usize) -> f64 {
        self.pixel(x, y).iter().sum::<f64>() / 3.0
    }

    /// The mean colour of the part that `columns` and `rows` span; NaN where that is empty.
    pub fn mean(&self, columns: std::ops::Range<usize>, rows: std::ops::Range<usize>) -> [f64; 3] {
        let count = (columns.len() * rows.len()) as f64;
        let mut sum = [0.0; 3];
        for y in rows {
            for pixel in &self.data[y * self.width..][columns.clone()] {
                (0..3).for_each(|channel| sum[channel] += pixel[channel]);
            }
        }
        sum.map(|sum| sum / count)
    }
}

/// For tests of what is measured.
#[cfg(test)]
impl Levels {
    /// A square of greys that are `level` at column x of row y.
    pub(crate) fn of_greys(side: usize, level: impl Fn(usize, usize) -> f64) -> Self {
        let data = (0..side * side).map(|at| [level(at % side, at / side); 3]).collect();
        Self { width: side, height: side, data }
    }

    /// Every pixel by itself.
    pub(crate) fn map(&self, change: impl Fn([f64; 3]) -> [f64; 3]) -> Self {
        let data = self.data.iter().map(|&pixel| change(pixel)).collect();
        Self { data, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr3;

    use super::*;

    #[test]
    fn samples_become_levels_and_nan_stays() {
        let decoded = arr3(&[[[-1.0, 2.0]], [[0.0, -7.0]], [[f32::NAN, 1.0]]]);
        let decoded = decoded.insert_axis(ndarray::Axis(0));
        let levels = Levels::of_decoded(decoded.view()).unwrap();
        assert_eq!((levels.width(), levels.height()), (2, 1));
        assert_eq!(levels.pixel(0, 0)[..2], [0.0, 127.5]);
        assert!(levels.pixel(0, 0)[2].is_nan() && levels.grey(0, 0).is_nan());
        assert_eq!(levels.pixel(1, 0), [255.0, 0.0, 255.0]);
        assert_eq!(levels.to_picture().unwrap().data(), [0, 128, 0, 255, 0, 255]);
        let empty = ndarray::Array4::<f32>::zeros((1, 3, 0, 2));
        assert!(Levels::of_decoded(empty.view()).is_err());
    }

    #[test]
    fn means_are_of_the_part() {
        let picture = Rgb8::new(2, 2, vec![0, 0, 0, 10, 20, 30, 0, 0, 0, 20, 30, 40]).unwrap();
        let levels = Levels::of_picture(&picture);
        assert_eq!(levels.mean(1..2, 0..2), [15.0, 25.0, 35.0]);
        assert!(levels.mean(1..1, 0..2)[0].is_nan());
    }
}

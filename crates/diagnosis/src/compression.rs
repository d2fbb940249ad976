//! What JPEG and lossy WebP leave of a picture.

use std::f64::consts::PI;

use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::{JpegCoding, Rgb8};

use super::jpeg::coded_as;

/// Tables K.1 and K.2 of the JPEG standard: luma, then chroma.
const TABLES: [[u16; 64]; 2] = [
    [
        16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69,
        56, 14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81,
        104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
    ],
    [
        17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99,
        99, 47, 66, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
        99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    ],
];

/// `picture` as it comes back from a JPEG of this quality (1 to 100, as libjpeg counts it), with
/// chroma at half the width and height.
pub(super) fn through_jpeg(picture: &Rgb8, quality: u32) -> Result<Rgb8> {
    let steps = [0, 1].map(|which| table(which, quality));
    coded_as(picture, &JpegCoding { steps, chroma_halved: (true, true) })
}

/// `picture` as it comes back from a lossy WebP of quality 75, as libwebp counts it: luma in 16 to 235,
/// chroma at half the width and height, blocks of 4 x 4.
///
/// libwebp predicts blocks, and shares its bits out among them by what they hold; the steps here are those
/// that leave as much of 25 pictures in two sizes (0.92 times as much in the median, 1.26 at most but for stripes of black and white).
pub(super) fn through_webp(picture: &Rgb8) -> Result<Rgb8> {
    const STEPS: [[f64; 4]; 4] = {
        let mut steps = [[16.0; 4]; 4];
        steps[0][0] = 10.0;
        steps
    };
    const CHROMA_STEPS: [[f64; 4]; 4] = [[12.0; 4]; 4];
    let [luma, u, v] = planes(picture, LIMITED_YUV);
    let luma = luma.rounded().quantised(&STEPS).rounded();
    let (width, height) = (luma.width, luma.height);
    let chroma = [u, v].map(|plane| {
        let small = plane.halved().rounded().quantised(&CHROMA_STEPS).rounded();
        small.doubled(width, height)
    });
    joined(luma, chroma, |[y, u, v]| {
        let luma = 1.164 * y;
        [luma + 1.596 * v, luma - 0.391 * u - 0.813 * v, luma + 2.018 * u]
    })
}

/// Rows for luma and both chromas; each with what is added.
type Matrix = [([f64; 3], f64); 3];

/// BT.601 with 219 levels of luma and 224 of chroma, black and grey at 0.
const LIMITED_YUV: Matrix =
    [([0.257, 0.504, 0.098], 0.0), ([-0.148, -0.291, 0.439], 0.0), ([0.439, -0.368, -0.071], 0.0)];

fn planes(picture: &Rgb8, matrix: Matrix) -> [Plane; 3] {
    matrix.map(|(row, offset)| Plane {
        width: picture.width(),
        height: picture.height(),
        values: picture
            .data()
            .chunks_exact(3)
            .map(|p| dot(&row, &[p[0], p[1], p[2]].map(f64::from)) + offset)
            .collect(),
    })
}

/// The picture of luma and two chromas of its size, by `rgb` of each pixel's three values.
fn joined(luma: Plane, chroma: [Vec<f64>; 2], rgb: impl Fn([f64; 3]) -> [f64; 3]) -> Result<Rgb8> {
    let (width, height) = (luma.width, luma.height);
    let [blue, red] = chroma;
    let pixels = luma.values.iter().zip(blue).zip(red);
    let levels = pixels.flat_map(|((&luma, blue), red)| rgb([luma, blue, red]));
    Rgb8::new(width, height, levels.map(|level| level.round().clamp(0.0, 255.0) as u8).collect())
}

/// libjpeg's table of this quality.
fn table(which: usize, quality: u32) -> [u16; 64] {
    let quality = quality.clamp(1, 100);
    let scale = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
    TABLES[which].map(|step| ((u32::from(step) * scale + 50) / 100).clamp(1, 255) as u16)
}

struct Plane {
    width: usize,
    height: usize,
    values: Vec<f64>,
}

impl Plane {
    fn at(&self, x: usize, y: usize) -> f64 {
        self.values[y.min(self.height - 1) * self.width + x.min(self.width - 1)]
    }

    /// The mean of 2 x 2.
    fn halved(&self) -> Self {
        let (width, height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        let mean = |i: usize| {
            let (x, y) = (2 * (i % width), 2 * (i / width));
            (self.at(x, y) + self.at(x + 1, y) + self.at(x, y + 1) + self.at(x + 1, y + 1)) / 4.0
        };
        Self { width, height, values: (0..width * height).map(mean).collect() }
    }

    /// Each value twice across and twice down, to this size.
    fn doubled(&self, width: usize, height: usize) -> Vec<f64> {
        let at = |i: usize| self.values[i / width / 2 * self.width + i % width / 2];
        (0..width * height).map(at).collect()
    }

    /// Each block of N x N with its cosines rounded to the steps of `table`.
    fn quantised<const N: usize>(mut self, table: &[[f64; N]; N]) -> Self {
        let basis: [[f64; N]; N] = std::array::from_fn(|u| {
            let norm = if u == 0 { 1.0 } else { 2.0 } / N as f64;
            std::array::from_fn(|x| {
                norm.sqrt() * ((2 * x + 1) as f64 * u as f64 * PI / (2 * N) as f64).cos()
            })
        });
        for top in (0..self.height).step_by(N) {
            for left in (0..self.width).step_by(N) {
                let block: [[f64; N]; N] =
                    std::array::from_fn(|y| std::array::from_fn(|x| self.at(left + x, top + y)));
                let rows = block.map(|row| basis.map(|wave| dot(&wave, &row)));
                let mut cosines: [[f64; N]; N] = std::array::from_fn(|v| {
                    std::array::from_fn(|u| (0..N).map(|y| basis[v][y] * rows[y][u]).sum())
                });
                for (cosine, step) in cosines.iter_mut().flatten().zip(table.iter().flatten()) {
                    *cosine = (*cosine / step).round() * step;
                }
                for y in 0..N.min(self.height - top) {
                    for x in 0..N.min(self.width - left) {
                        self.values[(top + y) * self.width + left + x] = (0..N)
                            .map(|v| {
                                basis[v][y]
                                    * (0..N).map(|u| basis[u][x] * cosines[v][u]).sum::<f64>()
                            })
                            .sum();
                    }
                }
            }
        }
        self
    }

    fn rounded(mut self) -> Self {
        self.values.iter_mut().for_each(|value| *value = value.round());
        self
    }
}

fn dot<const N: usize>(a: &[f64; N], b: &[f64; N]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RMS in levels.
    fn lost(picture: &Rgb8, back: &Rgb8) -> f64 {
        let pairs = picture.data().iter().zip(back.data());
        let squares: f64 = pairs.map(|(a, b)| f64::from(a.abs_diff(*b)).powi(2)).sum();
        (squares / picture.data().len() as f64).sqrt()
    }

    #[test]
    fn a_jpeg_keeps_flat_pictures_and_loses_more_at_lower_quality() {
        let grey = Rgb8::new(21, 13, vec![77; 21 * 13 * 3]).unwrap();
        let back = through_jpeg(&grey, 100).unwrap();
        assert!(lost(&grey, &back) <= 1.0);
        // A grey pattern of all frequencies: chroma is lost at any quality.
        let noise = |i: usize| (i / 3 * 7919 % 251) as u8;
        let rough = Rgb8::new(40, 32, (0..40 * 32 * 3).map(noise).collect()).unwrap();
        let lost = |quality| lost(&rough, &through_jpeg(&rough, quality).unwrap());
        assert!(1.25 * lost(95) < lost(40));
    }

    #[test]
    fn a_webp_shifts_flat_pictures_by_a_level_and_loses_detail() {
        let red = Rgb8::new(21, 13, [200, 10, 30].repeat(21 * 13)).unwrap();
        let back = through_webp(&red).unwrap();
        let shifted = back.only_colour().unwrap();
        assert!(
            [200u8, 10, 30].iter().zip(shifted).all(|(a, b)| a.abs_diff(b) <= 4),
            "{shifted:?}"
        );
        let noise = |i: usize| (i / 3 * 7919 % 251) as u8;
        let rough = Rgb8::new(41, 33, (0..41 * 33 * 3).map(noise).collect()).unwrap();
        let lost = lost(&rough, &through_webp(&rough).unwrap());
        assert!((2.0..12.0).contains(&lost), "{lost}");
    }
}

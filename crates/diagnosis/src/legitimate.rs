//! What may lie between a file and the expected one without a fault: rounding, and a picture kept as
//! JPEG or WebP at quality 75 or better.

use std::f64::consts::PI;

use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::Rgb8;

/// The quality that is still no fault.
pub(super) const QUALITY: u32 = 75;

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
    let (width, height) = (picture.width(), picture.height());
    let planes = ycc(picture);
    let luma = Plane { width, height, values: planes[0].clone() }.quantised(&table(0, quality));
    let chroma = [1, 2].map(|at| {
        let plane = Plane { width, height, values: planes[at].clone() };
        plane.halved().quantised(&table(1, quality))
    });
    let mut data = Vec::with_capacity(3 * width * height);
    for y in 0..height {
        for x in 0..width {
            let (luma, [cb, cr]) = (
                luma.values[y * width + x] + 128.0,
                chroma.each_ref().map(|plane| plane.values[y / 2 * plane.width + x / 2]),
            );
            let rgb =
                [luma + 1.402 * cr, luma - 0.344_136 * cb - 0.714_136 * cr, luma + 1.772 * cb];
            data.extend(rgb.map(|level| level.round().clamp(0.0, 255.0) as u8));
        }
    }
    Rgb8::new(width, height, data)
}

/// Luma and chroma of BT.601, around 0.
fn ycc(picture: &Rgb8) -> [Vec<f64>; 3] {
    let pixels = || picture.data().chunks_exact(3).map(|p| [p[0], p[1], p[2]].map(f64::from));
    [
        pixels().map(|[r, g, b]| 0.299 * r + 0.587 * g + 0.114 * b - 128.0).collect(),
        pixels().map(|[r, g, b]| -0.168_736 * r - 0.331_264 * g + 0.5 * b).collect(),
        pixels().map(|[r, g, b]| 0.5 * r - 0.418_688 * g - 0.081_312 * b).collect(),
    ]
}

/// libjpeg's table of this quality.
fn table(which: usize, quality: u32) -> [f64; 64] {
    let quality = quality.clamp(1, 100);
    let scale = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
    TABLES[which].map(|step| f64::from(((u32::from(step) * scale + 50) / 100).clamp(1, 255)))
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

    /// Each block of 8 x 8 with its cosines rounded to the steps of `table`.
    fn quantised(mut self, table: &[f64; 64]) -> Self {
        let basis: [[f64; 8]; 8] = std::array::from_fn(|u| {
            let norm = if u == 0 { (0.125f64).sqrt() } else { 0.5 };
            std::array::from_fn(|x| norm * ((2 * x + 1) as f64 * u as f64 * PI / 16.0).cos())
        });
        for top in (0..self.height).step_by(8) {
            for left in (0..self.width).step_by(8) {
                let block: [[f64; 8]; 8] =
                    std::array::from_fn(|y| std::array::from_fn(|x| self.at(left + x, top + y)));
                let rows = block.map(|row| basis.map(|wave| dot(&wave, &row)));
                let mut cosines: [[f64; 8]; 8] = std::array::from_fn(|v| {
                    std::array::from_fn(|u| (0..8).map(|y| basis[v][y] * rows[y][u]).sum())
                });
                for (cosine, step) in cosines.iter_mut().flatten().zip(table) {
                    *cosine = (*cosine / step).round() * step;
                }
                for y in 0..8.min(self.height - top) {
                    for x in 0..8.min(self.width - left) {
                        self.values[(top + y) * self.width + left + x] = (0..8)
                            .map(|v| {
                                basis[v][y]
                                    * (0..8).map(|u| basis[u][x] * cosines[v][u]).sum::<f64>()
                            })
                            .sum();
                    }
                }
            }
        }
        self
    }
}

fn dot(a: &[f64; 8], b: &[f64; 8]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// How far two pictures of one size are apart, in levels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Distance {
    /// Over the whole picture.
    pub rms: f64,
    /// Over the block of 8 x 8 that differs most.
    pub worst_block: f64,
    /// Of the means of those blocks, which compression keeps and most faults do not.
    pub means: f64,
}

impl Distance {
    pub fn between(a: &Rgb8, b: &Rgb8) -> Self {
        let (width, height) = (a.width(), a.height());
        let across = width.div_ceil(8).max(1);
        // Squares, number of values, and sums for each channel.
        let mut blocks = vec![(0.0, 0usize, [0.0; 3]); across * height.div_ceil(8)];
        for (i, (a, b)) in a.data().iter().zip(b.data()).enumerate() {
            let (x, y) = (i / 3 % width, i / 3 / width);
            let block = &mut blocks[y / 8 * across + x / 8];
            block.0 += f64::from(a.abs_diff(*b)).powi(2);
            block.1 += 1;
            block.2[i % 3] += f64::from(*b) - f64::from(*a);
        }
        let squares: f64 = blocks.iter().map(|block| block.0).sum();
        let count = |n: usize| n.max(1) as f64;
        let worst = blocks.iter().map(|(sum, n, _)| sum / count(*n)).fold(0.0, f64::max);
        let means: f64 = blocks
            .iter()
            .flat_map(|(_, n, sums)| sums.map(|sum| (3.0 * sum / count(*n)).powi(2)))
            .sum();
        Self {
            rms: (squares / a.data().len() as f64).sqrt(),
            worst_block: worst.sqrt(),
            means: (means / (3 * blocks.len()) as f64).sqrt(),
        }
    }

    /// Whether a picture this far off is off by no more than one that is `other`, anywhere: other
    /// encoders differ from the one that is imitated here by a quarter, and more in single blocks.
    pub fn is_within(&self, other: &Self) -> bool {
        self.rms <= ROOM * other.rms.max(LEAST)
            && self.worst_block <= 2.0 * other.worst_block + LEAST
    }

    /// Whether whole blocks are lighter or darker than compression to `other` makes them, so that it
    /// is worth running the VAE again.
    pub fn moves_blocks(&self, other: &Self) -> bool {
        self.means > 1.0 + other.means
    }

    /// The larger of both.
    pub fn or(self, other: Self) -> Self {
        Self {
            rms: self.rms.max(other.rms),
            worst_block: self.worst_block.max(other.worst_block),
            means: self.means.max(other.means),
        }
    }
}

const ROOM: f64 = 1.25;
/// Levels that any encoder may be off by.
const LEAST: f64 = 2.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jpeg_keeps_flat_pictures_and_loses_more_at_lower_quality() {
        let grey = Rgb8::new(21, 13, vec![77; 21 * 13 * 3]).unwrap();
        let back = through_jpeg(&grey, 100).unwrap();
        assert!(Distance::between(&grey, &back).rms <= 1.0);
        // A grey pattern of all frequencies: chroma is lost at any quality.
        let noise = |i: usize| (i / 3 * 7919 % 251) as u8;
        let rough = Rgb8::new(40, 32, (0..40 * 32 * 3).map(noise).collect()).unwrap();
        let lost = |quality| Distance::between(&rough, &through_jpeg(&rough, quality).unwrap());
        let (fine, coarse) = (lost(95), lost(40));
        assert!(fine.rms < coarse.rms && fine.is_within(&coarse) && !coarse.is_within(&fine));
    }

    #[test]
    fn one_block_is_enough_to_be_too_far_off() {
        let grey = Rgb8::new(128, 128, vec![77; 128 * 128 * 3]).unwrap();
        let mut data = grey.data().to_vec();
        data[..12].fill(255);
        let patched = Rgb8::new(128, 128, data).unwrap();
        let limit = Distance { rms: 3.0, worst_block: 8.0, means: 1.0 };
        let distance = Distance::between(&grey, &patched);
        assert!(distance.rms < limit.rms && !distance.is_within(&limit));
    }
}

//! What may lie between a file and the expected one without a fault: rounding, and a picture kept as
//! JPEG or WebP at quality 75 or better.

use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::Rgb8;

use super::compression::{through_jpeg, through_webp};
use super::finding::Finding;

/// The quality that is still no fault.
pub(super) const QUALITY: u32 = 75;

/// `picture` as JPEG and as WebP of [`QUALITY`].
pub(super) fn compressed(picture: &Rgb8) -> Result<[Rgb8; 2]> {
    Ok([through_jpeg(picture, QUALITY)?, through_webp(picture)?])
}

/// A picture beside itself as JPEG and as WebP of [`QUALITY`].
pub(super) struct Compressed {
    /// As JPEG, and as WebP.
    pub pictures: [Rgb8; 2],
    by_jpeg: Distance,
    by_webp: Distance,
}

impl Compressed {
    pub fn of(picture: &Rgb8) -> Result<Self> {
        let pictures = compressed(picture)?;
        let [by_jpeg, by_webp] = pictures.each_ref().map(|other| Distance::between(picture, other));
        Ok(Self { pictures, by_jpeg, by_webp })
    }

    /// What either does.
    pub fn distance(&self) -> Distance {
        self.by_jpeg.or(self.by_webp)
    }

    /// `finding` with what each does.
    pub fn told(&self, finding: Finding) -> Finding {
        finding
            .evidence("rms_levels_of_jpeg_at_75", self.by_jpeg.rms)
            .evidence("rms_levels_of_webp_at_75", self.by_webp.rms)
    }
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

    /// Whether a picture this far off is off by no more than one that is `other`, anywhere, with room
    /// for other encoders than the one that is imitated here.
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

/// What other encoders may leave, as a multiple of what the imitated ones do. Of 100 decoded pictures (25
/// sources in two sizes, two VAEs) libjpeg-turbo and three methods of libwebp leave at most 1.01 times as
/// much, and 1.5 times as much in single blocks.
const ROOM: f64 = 1.25;
/// Levels that any encoder may be off by.
const LEAST: f64 = 2.0;

#[cfg(test)]
mod tests {
    use super::*;

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

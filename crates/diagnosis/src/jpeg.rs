//! A picture as a JPEG file of a given coding holds it, by libjpeg's whole numbers: the same bytes as
//! libjpeg-turbo's, which Pillow, OpenCV and most others write with.

use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::{JpegCoding, Rgb8};

use super::integer_dct::{forward, inverse};

/// `picture` as it comes back from a JPEG of this coding, written and read by libjpeg-turbo with its accurate
/// whole-number DCT and smooth chroma, as both are unless asked otherwise.
pub(super) fn coded_as(picture: &Rgb8, coding: &JpegCoding) -> Result<Rgb8> {
    let (across, down) = coding.chroma_halved;
    let (width, height) = (picture.width(), picture.height());
    let [luma, blue, red] = ycc(picture);
    let luma = luma.quantised(&coding.steps[0]);
    let [blue, red] = [blue, red].map(|plane| {
        let kept = plane.halved(across, down).quantised(&coding.steps[1]);
        kept.doubled(across, down, (width, height))
    });
    let colours = luma.values.iter().zip(&blue.values).zip(&red.values);
    let data = colours.flat_map(|((&luma, &blue), &red)| rgb([luma, blue, red])).collect();
    Rgb8::new(width, height, data)
}

/// Bits behind the point of a factor of colours (`jccolor.c`).
const SCALE: i32 = 16;
const HALF: i32 = 1 << (SCALE - 1);

/// Luma and both chromas, around 0.
fn ycc(picture: &Rgb8) -> [Plane; 3] {
    // 0.299, 0.587, 0.114; 0.168735892, 0.331264108, 0.5; 0.5, 0.418687589, 0.081312411.
    const ROWS: [([i32; 3], i32); 3] = [
        ([19595, 38470, 7471], HALF - (128 << SCALE)),
        ([-11058, -21710, 32768], HALF - 1),
        ([32768, -27439, -5329], HALF - 1),
    ];
    ROWS.map(|(row, offset)| {
        let pixels = picture.data().chunks_exact(3);
        let value =
            |pixel: &[u8]| -> i32 { row.iter().zip(pixel).map(|(k, &x)| k * i32::from(x)).sum() };
        Plane {
            width: picture.width(),
            height: picture.height(),
            values: pixels.map(|pixel| (value(pixel) + offset) >> SCALE).collect(),
        }
    })
}

/// The colour of luma and chromas around 0 (`jdcolor.c`).
fn rgb([luma, blue, red]: [i32; 3]) -> [u8; 3] {
    // 1.402; 0.34414 and 0.71414; 1.772.
    let chroma = [91881 * red, -22554 * blue - 46802 * red, 116_130 * blue];
    chroma.map(|chroma| (luma + 128 + ((chroma + HALF) >> SCALE)).clamp(0, 255) as u8)
}

struct Plane {
    width: usize,
    height: usize,
    values: Vec<i32>,
}

impl Plane {
    /// The last row and column go on for ever.
    fn at(&self, x: usize, y: usize) -> i32 {
        self.values[y.min(self.height - 1) * self.width + x.min(self.width - 1)]
    }

    /// The mean of two across, of two down, or of 2 x 2: halves up in every other column (`jcsample.c`). As wide
    /// as whole blocks are, since rows go on before they are halved.
    fn halved(self, across: bool, down: bool) -> Self {
        let (i, j) = (1 + usize::from(across), 1 + usize::from(down));
        let (width, height) = (self.width.div_ceil(8 * i) * 8, self.height.div_ceil(j));
        let mean = |at: usize| {
            let (left, top) = (i * (at % width), j * (at / width));
            let sum: i32 = (0..i * j).map(|at| self.at(left + at % i, top + at / i)).sum();
            let odd = (at % width % 2) as i32;
            match (across, down) {
                (true, true) => (sum + 1 + odd) >> 2,
                (true, false) => (sum + odd) >> 1,
                (false, true) => (sum + 1) >> 1,
                (false, false) => sum,
            }
        };
        Self { width, height, values: (0..width * height).map(mean).collect() }
    }

    /// Twice as wide, as high, or both, and cut to `size`: three parts of the value that a pixel lies in and one
    /// of the next (`jdsample.c`).
    fn doubled(self, across: bool, down: bool, size: (usize, usize)) -> Self {
        let places = |at: usize, doubled: bool, last: usize| match (doubled, at % 2) {
            (false, _) => [at, at],
            (true, 0) => [at / 2, (at / 2).saturating_sub(1)],
            (true, _) => [at / 2, (at / 2 + 1).min(last)],
        };
        let last = ((size.0 - 1) / (1 + usize::from(across)), self.height - 1);
        let of = |i: usize| {
            let (x, y) = (i % size.0, i / size.0);
            let (columns, rows) = (places(x, across, last.0), places(y, down, last.1));
            let column = |y: usize| 3 * self.at(columns[0], y) + self.at(columns[1], y);
            let sixteen = 3 * column(rows[0]) + column(rows[1]);
            let bias = match (across, down) {
                (true, true) => [8, 7][x % 2],
                (true, false) => [4, 8][x % 2],
                (false, _) => [4, 8][y % 2],
            };
            (sixteen + bias) >> 4
        };
        Self { width: size.0, height: size.1, values: (0..size.0 * size.1).map(of).collect() }
    }

    /// Each block of 8 x 8 with its cosines rounded to `steps`, then to 8 bits (`jcdctmgr.c`).
    fn quantised(mut self, steps: &[u16; 64]) -> Self {
        for top in (0..self.height).step_by(8) {
            for left in (0..self.width).step_by(8) {
                let mut block: [i32; 64] =
                    std::array::from_fn(|i| self.at(left + i % 8, top + i / 8));
                forward(&mut block);
                for (cosine, &step) in block.iter_mut().zip(steps) {
                    let step = i32::from(step.max(1));
                    // Cosines come 8 times as large.
                    *cosine = cosine.signum() * ((cosine.abs() + 4 * step) / (8 * step)) * step;
                }
                inverse(&mut block);
                for y in 0..8.min(self.height - top) {
                    for x in 0..8.min(self.width - left) {
                        self.values[(top + y) * self.width + left + x] =
                            block[8 * y + x].clamp(-128, 127);
                    }
                }
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libjpeg_makes_the_same_of_a_picture() {
        let wave = |i: usize| {
            (128.0 + 90.0 * (i as f64 * 0.37).sin() + (i * 7919 % 91) as f64 - 45.0) as u8
        };
        let picture = Rgb8::new(53, 38, (0..53 * 38 * 3).map(wave).collect()).unwrap();
        let halved = |pixels: u8| pixels == 2;
        for quality in [40.0, 75.0, 90.0, 95.0, 100.0] {
            for chroma in [(2, 2), (2, 1), (1, 1)] {
                let mut compress = mozjpeg::Compress::new(mozjpeg::ColorSpace::JCS_RGB);
                compress.set_size(picture.width(), picture.height());
                compress.set_fastest_defaults();
                compress.set_quality(quality);
                compress.set_chroma_sampling_pixel_sizes(chroma, chroma);
                let mut started = compress.start_compress(Vec::new()).unwrap();
                started.write_scanlines(picture.data()).unwrap();
                let file = started.finish().unwrap();
                let opened = vae_fidelity_pixels::open_bytes("a.jpg".as_ref(), file).unwrap();
                let coding = opened.jpeg.unwrap();
                assert_eq!(coding.chroma_halved, (halved(chroma.0), halved(chroma.1)));
                let ours = coded_as(&picture, &coding).unwrap();
                let off = ours.data().iter().zip(opened.pixels.data()).filter(|(a, b)| a != b);
                assert_eq!(off.count(), 0, "{quality} {chroma:?}");
            }
        }
    }
}

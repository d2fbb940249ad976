//! Ways in which other libraries bring a picture to a size: what `resize-mismatch` tries.

use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::severity::Severity;
use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::{Filter, PassOrder, Rgb8, resize};

pub(super) const RESIZE_MISMATCH: Cause = Cause {
    code: Code::ResizeMismatch,
    severity: Severity::Warning,
    title: "the picture was resized by another filter",
    meaning: "Libraries differ in filter, order of passes, antialiasing and rounding. The \
              latents differ a little everywhere, and more at edges.",
    rule: "The preprocessed tensor (or latents) does not match Pillow's bicubic resize, and \
           matches another filter, pass order, antialiasing or crop; which one is said.",
    remedy: "resize with Pillow's bicubic filter, or feed both sides the same pixels",
    diffusers: "VaeImageProcessor(resample='bicubic'); its default is lanczos",
    comfyui: "resize beforehand, and feed the resized picture to both",
    ports: "F.interpolate needs antialias=True to come near; only Pillow's fixed-point passes \
            give the same bytes",
    sources: &["pytorch/vision#2950"],
    decided_by: &[DecidedBy::Preprocessed, DecidedBy::Latents, DecidedBy::DecodedImage],
};

/// One way from the file's pixels to the size that was encoded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Resampling {
    /// Pillow's fixed point, with this filter and order of passes.
    Pillow(Filter, PassOrder),
    /// Two taps a side without antialiasing, in floating point: `F.interpolate`, OpenCV.
    Bilinear,
    /// Four taps a side without antialiasing, Keys' cubic with a = -0.75: the same libraries.
    Bicubic,
    /// The pixel at the rounded-down position: OpenCV, `F.interpolate`.
    NearestFromCorner,
    /// Pillow's filter until the picture covers the size, then the middle: aspect buckets.
    Cover(Filter),
    /// Without resampling, from the middle: ComfyUI.
    CentreCrop,
    /// Without resampling, from the top left.
    TopLeftCrop,
}

impl Resampling {
    /// All that are told apart, in words.
    pub const ALL: [(Self, &'static str); 14] = [
        (Self::Pillow(Filter::Lanczos, PassOrder::Pillow), "Pillow's lanczos filter"),
        (Self::Pillow(Filter::Bilinear, PassOrder::Pillow), "an antialiased bilinear filter"),
        (Self::Bilinear, "bilinear interpolation without antialiasing"),
        (Self::Bicubic, "bicubic interpolation without antialiasing"),
        (Self::Pillow(Filter::Nearest, PassOrder::Pillow), "the nearest pixel"),
        (Self::NearestFromCorner, "the nearest pixel, counted from the corner"),
        (Self::Pillow(Filter::Box, PassOrder::Pillow), "a box filter (area)"),
        (Self::Pillow(Filter::Hamming, PassOrder::Pillow), "Pillow's hamming filter"),
        (Self::CentreCrop, "a crop from the middle in place of a resize"),
        (Self::TopLeftCrop, "a crop from the top left in place of a resize"),
        (
            Self::Cover(Filter::Bicubic),
            "the bicubic filter to cover the size, then cropped to its middle",
        ),
        (
            Self::Cover(Filter::Lanczos),
            "the lanczos filter to cover the size, then cropped to its middle",
        ),
        (
            Self::Cover(Filter::Bilinear),
            "an antialiased bilinear filter to cover the size, then cropped to its middle",
        ),
        // Last: it differs from Pillow 13's own order by single levels.
        (
            Self::Pillow(Filter::Bicubic, PassOrder::WidthFirst),
            "the bicubic filter with the width first, as before Pillow 12",
        ),
    ];

    /// `pixels` at `width` x `height`; `None` where this way does not lead there.
    pub fn apply(self, pixels: &Rgb8, width: usize, height: usize) -> Result<Option<Rgb8>> {
        Ok(Some(match self {
            Self::Pillow(filter, order) => resize(pixels, width, height, filter, order)?,
            Self::Bilinear => interpolated(pixels, width, height, &triangle)?,
            Self::Bicubic => interpolated(pixels, width, height, &keys)?,
            Self::NearestFromCorner => {
                let bytes = (0..width * height).flat_map(|i| {
                    let (x, y) = (i % width, i / width);
                    pixels.pixel(x * pixels.width() / width, y * pixels.height() / height)
                });
                Rgb8::new(width, height, bytes.collect())?
            }
            Self::Cover(filter) => {
                let (w, h) = (pixels.width() as f64, pixels.height() as f64);
                let scale = (width as f64 / w).max(height as f64 / h);
                let whole = ((scale * w).round() as usize, (scale * h).round() as usize);
                // Sides of one shape are resized alike, with nothing to crop.
                if whole == (width, height) {
                    return Ok(None);
                }
                let (w, h) = (whole.0.max(width), whole.1.max(height));
                let resized = resize(pixels, w, h, filter, PassOrder::Pillow)?;
                return Self::CentreCrop.apply(&resized, width, height);
            }
            Self::CentreCrop | Self::TopLeftCrop => {
                if pixels.width() < width || pixels.height() < height {
                    return Ok(None);
                }
                let (left, top) = match self {
                    Self::CentreCrop => {
                        ((pixels.width() - width) / 2, (pixels.height() - height) / 2)
                    }
                    _ => (0, 0),
                };
                let bytes = (0..width * height)
                    .flat_map(|i| pixels.pixel(left + i % width, top + i / width));
                Rgb8::new(width, height, bytes.collect())?
            }
        }))
    }
}

fn triangle(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

fn keys(x: f64) -> f64 {
    const A: f64 = -0.75;
    match x.abs() {
        x if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        x if x < 2.0 => ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A,
        _ => 0.0,
    }
}

/// Four taps a side around each position, edges repeated, rounded once at the end.
fn interpolated(
    pixels: &Rgb8,
    width: usize,
    height: usize,
    weight: &dyn Fn(f64) -> f64,
) -> Result<Rgb8> {
    let taps = |from: usize, to: usize| -> Vec<[(usize, f64); 4]> {
        let position = |i: usize| (i as f64 + 0.5) * from as f64 / to as f64 - 0.5;
        let around = |at: f64| {
            std::array::from_fn(|tap| {
                let sample = at.floor() + tap as f64 - 1.0;
                (sample.clamp(0.0, from as f64 - 1.0) as usize, weight(at - sample))
            })
        };
        (0..to).map(|i| around(position(i))).collect()
    };
    let (columns, rows) = (taps(pixels.width(), width), taps(pixels.height(), height));
    let mut data = Vec::with_capacity(width * height * 3);
    for row in &rows {
        for column in &columns {
            let mut sums = [0.0; 3];
            for &(y, down) in row.iter().filter(|(_, weight)| *weight != 0.0) {
                for &(x, along) in column.iter().filter(|(_, weight)| *weight != 0.0) {
                    for (sum, level) in sums.iter_mut().zip(pixels.pixel(x, y)) {
                        *sum += down * along * f64::from(level);
                    }
                }
            }
            data.extend(sums.map(|sum| sum.round().clamp(0.0, 255.0) as u8));
        }
    }
    Rgb8::new(width, height, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_pictures_stay_flat_and_crops_take_the_right_part() {
        let grey = Rgb8::new(21, 13, vec![77; 21 * 13 * 3]).unwrap();
        for (way, name) in Resampling::ALL {
            // 21 x 13 covers 16 x 8 as 16 x 10.
            let resized = way.apply(&grey, 16, 8).unwrap().unwrap();
            assert!(resized.data().iter().all(|&level| level == 77), "{name}");
        }
        let ramp = Rgb8::new(10, 1, (0..10).flat_map(|i| [i; 3]).collect()).unwrap();
        let middle = Resampling::CentreCrop.apply(&ramp, 8, 1).unwrap().unwrap();
        assert_eq!(middle.pixel(0, 0), [1; 3]);
        assert_eq!(Resampling::CentreCrop.apply(&ramp, 16, 1).unwrap(), None);
        let tall =
            Rgb8::new(4, 8, (0..32).flat_map(|i| [10 * (i / 4) as u8; 3]).collect()).unwrap();
        let cover = Resampling::Cover(Filter::Bicubic);
        let middle = cover.apply(&tall, 4, 4).unwrap().unwrap();
        assert_eq!((0..4).map(|y| middle.pixel(0, y)[0]).collect::<Vec<_>>(), [20, 30, 40, 50]);
        assert_eq!(cover.apply(&tall, 2, 4).unwrap(), None);
        // torch.nn.functional.interpolate([0, 1, .., 9], size=4, mode="bilinear") is
        // [0.75, 3.25, 5.75, 8.25].
        let four = Resampling::Bilinear.apply(&ramp, 4, 1).unwrap().unwrap();
        assert_eq!((0..4).map(|x| four.pixel(x, 0)[0]).collect::<Vec<_>>(), [1, 3, 6, 8]);
    }
}

//! Pillow's resize, to the bit for the bicubic filter.
//!
//! Two passes, each a weighted sum of 8-bit samples that is rounded and clamped to 8 bits before
//! the next one. That rounding in between is why the order of the passes shows in the pixels, and
//! why no other resizer gives the same ones. Follows Pillow 13.0.0, `src/libImaging/Resample.c`:
//! `bicubic_filter`, `precompute_coeffs`, `normalize_coeffs_8bpc` and the two `_8bpc` passes.

use std::f64::consts::PI;

use super::rgb8::Rgb8;
use vae_fidelity_files::error::{Error, ErrorKind, Result};
use vae_fidelity_files::memory::reserve;

/// Bits after the binary point of a weight: 32, less 8 for the sample and 2 for overshoot.
const PRECISION_BITS: u32 = 22;
/// Half an 8-bit value, so that the shift rounds.
const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// A filter of Pillow's `Image.resize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// The nearest sample.
    Nearest,
    /// The mean of the samples covered.
    Box,
    /// A triangle, one sample to each side.
    Bilinear,
    /// A raised cosine, one sample to each side.
    Hamming,
    /// Keys' cubic, two samples to each side.
    Bicubic,
    /// A windowed sinc, three samples to each side.
    Lanczos,
}

/// Which of the two passes comes first; it shows, because pixels are rounded in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassOrder {
    /// Pillow 13's choice, by what shrinks more.
    Pillow,
    /// Rows are narrowed or widened first.
    WidthFirst,
    /// Columns are shortened or lengthened first.
    HeightFirst,
}

/// `pixels` at `width` x `height`, as Pillow 13.0.0's `Image.resize(size, Image.BICUBIC)`.
///
/// The same size returns a copy, as in Pillow.
///
/// # Errors
///
/// Returns an error if a side is zero, or if the result or an intermediate table is larger than Pillow
/// or this machine can allocate.
pub fn resize_bicubic(pixels: &Rgb8, width: usize, height: usize) -> Result<Rgb8> {
    resize(pixels, width, height, Filter::Bicubic, PassOrder::Pillow)
}

/// As [`resize_bicubic`], with another of Pillow's filters or with the passes in a given order.
pub fn resize(
    pixels: &Rgb8,
    width: usize,
    height: usize,
    filter: Filter,
    order: PassOrder,
) -> Result<Rgb8> {
    if width == 0 || height == 0 {
        return Err(Error::new(
            ErrorKind::Image,
            "resize",
            format!("expected both sides to be at least 1, found {width} x {height}"),
            "ask for a larger picture",
        ));
    }
    if (width, height) == (pixels.width(), pixels.height()) {
        return Ok(pixels.clone());
    }
    // Narrowing first is cheaper, unless the height shrinks by more than twice what the width does.
    let rows_gone = pixels.height() as i128 - height as i128;
    let columns_gone = pixels.width() as i128 - width as i128;
    let height_first = match order {
        PassOrder::Pillow => rows_gone > 0 && rows_gone > 2 * columns_gone,
        PassOrder::WidthFirst => false,
        PassOrder::HeightFirst => true,
    };
    if height_first {
        let shorter = resize_height(pixels, height, filter)?;
        resize_width(&shorter, width, filter)
    } else {
        let narrower = resize_width(pixels, width, filter)?;
        resize_height(&narrower, height, filter)
    }
}

/// One output sample's sources: the first one, and a weight for each.
struct Window {
    start: usize,
    weights: Vec<i32>,
}

/// The horizontal pass.
fn resize_width(pixels: &Rgb8, width: usize, filter: Filter) -> Result<Rgb8> {
    if width == pixels.width() {
        return Ok(pixels.clone());
    }
    let windows = windows(pixels.width(), width, filter)?;
    let mut data = buffer(width, pixels.height())?;
    for row in pixels.data().chunks_exact(pixels.width() * 3) {
        for window in &windows {
            let mut sums = [HALF; 3];
            for (sample, &weight) in row[window.start * 3..].chunks_exact(3).zip(&window.weights) {
                for (sum, &value) in sums.iter_mut().zip(sample) {
                    *sum += i32::from(value) * weight;
                }
            }
            data.extend(sums.map(clip));
        }
    }
    Rgb8::new(width, pixels.height(), data)
}

/// The vertical pass.
fn resize_height(pixels: &Rgb8, height: usize, filter: Filter) -> Result<Rgb8> {
    if height == pixels.height() {
        return Ok(pixels.clone());
    }
    let stride = pixels.width() * 3;
    let mut data = buffer(pixels.width(), height)?;
    let mut sums = vec![0; stride];
    for window in windows(pixels.height(), height, filter)? {
        sums.fill(HALF);
        let rows = pixels.data()[window.start * stride..].chunks_exact(stride);
        for (row, &weight) in rows.zip(&window.weights) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += i32::from(value) * weight;
            }
        }
        data.extend(sums.iter().copied().map(clip));
    }
    Rgb8::new(pixels.width(), height, data)
}

fn clip(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

impl Filter {
    /// How many source samples count to each side when nothing shrinks.
    fn support(self) -> f64 {
        match self {
            Self::Nearest => 0.0,
            Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    /// The weight at distance `x`. The order of operations is Pillow's: it decides the last bit.
    fn weight(self, x: f64) -> f64 {
        match self {
            Self::Nearest => 1.0,
            Self::Box => f64::from(u8::from(x > -0.5 && x <= 0.5)),
            Self::Bilinear => (1.0 - x.abs()).max(0.0),
            Self::Hamming => match x.abs() {
                0.0 => 1.0,
                x if x >= 1.0 => 0.0,
                x => (x * PI).sin() / (x * PI) * (0.54 + 0.46 * (x * PI).cos()),
            },
            Self::Bicubic => bicubic(x),
            Self::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Self::Lanczos => 0.0,
        }
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) }
}

/// Keys' cubic with a = -1/2. The order of operations is Pillow's: it decides the last bit.
fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// The windows that turn `from` samples into `to`.
fn windows(from: usize, to: usize, filter: Filter) -> Result<Vec<Window>> {
    let scale = from as f64 / to as f64;
    // When shrinking, the kernel widens so that every source sample counts.
    let stretch = scale.max(1.0);
    let support = filter.support() * stretch;
    // Pillow holds `to` equally long rows of f64 and refuses the table when it passes 2 GiB.
    let table = (support.ceil() * 2.0 + 1.0) * 8.0 * to as f64;
    if table > f64::from(i32::MAX) {
        return Err(Error::new(
            ErrorKind::Image,
            "resize",
            format!(
                "the weights from {from} to {to} samples take {table:.0} bytes; Pillow refuses \
                 more than 2 GiB"
            ),
            "crop or reduce the picture first",
        ));
    }
    let inverse_stretch = 1.0 / stretch;
    let window = |i: usize| {
        let center = (i as f64 + 0.5) * scale;
        // `as usize` truncates, and takes negative numbers to 0.
        if filter == Filter::Nearest {
            return Window { start: (center as usize).min(from - 1), weights: vec![fixed(1.0)] };
        }
        let start = (center - support + 0.5) as usize;
        let end = ((center + support + 0.5) as usize).min(from);
        let weights: Vec<f64> = (start..end)
            .map(|j| filter.weight((j as f64 - center + 0.5) * inverse_stretch))
            .collect();
        let total = weights.iter().fold(0.0, |sum, weight| sum + weight);
        let weights = weights.into_iter().map(|w| fixed(if total == 0.0 { w } else { w / total }));
        Window { start, weights: weights.collect() }
    };
    Ok((0..to).map(window).collect())
}

/// A weight in fixed point, rounded to nearest with halves away from zero.
fn fixed(weight: f64) -> i32 {
    let scaled = weight * f64::from(1 << PRECISION_BITS);
    (if weight < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
}

/// Room for the pixels of a `width` x `height` picture.
fn buffer(width: usize, height: usize) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    let reserved = width
        .checked_mul(height)
        .and_then(|pixels| pixels.checked_mul(3))
        .is_some_and(|bytes| reserve(&mut data, bytes).is_ok());
    if !reserved {
        return Err(Error::new(
            ErrorKind::Image,
            "resize",
            format!("no memory for {width} x {height} pixels"),
            "ask for a smaller picture",
        ));
    }
    Ok(data)
}

//! Group norm and activation, as a factor and an offset for each channel that the next layer
//! applies while it reads.

use pulp::{Simd, WithSimd};

use vae_fidelity_core::config::Activation;

use super::image::Image;
use super::memory::Memory;
use super::threads::Threads;

/// What happens to each value before a convolution: `activation(factor * value + offset)`.
#[derive(Debug, Clone, Default)]
pub struct Normalise {
    /// One for each channel, zero for those that fill up.
    pub factors: Vec<f32>,
    pub offsets: Vec<f32>,
    pub activation: Option<Activation>,
}

/// `torch.nn.GroupNorm` over all of `image`, epsilon `eps`.
pub fn group_norm(
    threads: Threads,
    image: &Image,
    groups: usize,
    weight: &[f32],
    bias: &[f32],
    eps: f64,
) -> Normalise {
    let sums = match image.sums() {
        Some(Sums(sums)) => sums.clone(),
        None => channel_sums(threads, image).0,
    };
    let (width, pitch) = (image.channels / groups, image.pitch);
    let count = (width * image.pixels()) as f64;
    let (mut factors, mut offsets) = (vec![0.0; pitch], vec![0.0; pitch]);
    for group in 0..groups {
        let channels = group * width..(group + 1) * width;
        let sum: f64 = sums[channels.clone()].iter().map(|of| of.0).sum();
        let squares: f64 = sums[channels.clone()].iter().map(|of| of.1).sum();
        let mean = sum / count;
        let scale = 1.0 / ((squares / count - mean * mean).max(0.0) + eps).sqrt();
        for channel in channels {
            let factor = f64::from(weight[channel]) * scale;
            factors[channel] = factor as f32;
            offsets[channel] = (f64::from(bias[channel]) - mean * factor) as f32;
        }
    }
    // `max` above hides a NaN, which must reach the output.
    if sums.iter().any(|(sum, squares)| !(sum + squares).is_finite()) {
        offsets[..image.channels].fill(f32::NAN);
    }
    Normalise { factors, offsets, activation: None }
}

/// `image` with `normalise` done.
pub fn normalised(
    threads: Threads,
    image: &Image,
    normalise: &Normalise,
    memory: &Memory,
) -> Image {
    let mut out = Image::left_over(memory, image.height, image.width, image.channels);
    let (row, pitch) = (image.width * image.pitch, image.pitch);
    threads.for_each_part(out.values_mut(), row, |y, out| {
        let pixels = &image.values()[y * row..][..row];
        threads.dispatch(Apply { normalise, pixels, out, pitch });
        memory.keep_within_limit();
    });
    out
}

/// Normalises pixel by pixel.
struct Apply<'a> {
    normalise: &'a Normalise,
    pixels: &'a [f32],
    out: &'a mut [f32],
    pitch: usize,
}

impl WithSimd for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let pixels = self.pixels.chunks_exact(self.pitch);
        for (pixel, out) in pixels.zip(self.out.chunks_exact_mut(self.pitch)) {
            self.normalise.apply(0, pixel, out);
        }
    }
}

/// `sum` += `image`.
pub fn add(threads: Threads, sum: &mut Image, image: &Image) {
    assert_eq!((sum.height, sum.width, sum.pitch), (image.height, image.width, image.pitch));
    let row = image.width * image.pitch;
    threads.for_each_part(sum.values_mut(), row, |y, sums| {
        for (sum, value) in sums.iter_mut().zip(&image.values()[y * row..]) {
            *sum += value;
        }
        image.keep_within_limit();
    });
}

/// Sum and sum of squares of each channel.
///
/// In f64: where the mean is far from zero, the difference of two large sums is the variance.
#[derive(Debug, Clone)]
pub struct Sums(Vec<(f64, f64)>);

impl Sums {
    /// From parts of an image: for each, the sums of all channels and then those of their squares.
    /// Added up in the order of the parts, whichever thread came first.
    pub fn of_parts(parts: &[f64], pitch: usize) -> Self {
        let mut total = vec![(0.0, 0.0); pitch];
        for part in parts.chunks_exact(2 * pitch) {
            let (sums, squares) = part.split_at(pitch);
            for ((of, sum), square) in total.iter_mut().zip(sums).zip(squares) {
                of.0 += sum;
                of.1 += square;
            }
        }
        Self(total)
    }
}

/// Sums of one vector of channels, of what they differ from `shift`: short runs of differences can
/// be added up in f32, where values far from zero cannot.
#[derive(Debug, Default)]
pub struct ShiftedSums {
    pub shift: [f32; Self::LANES],
    count: usize,
    sums: [f64; Self::LANES],
    squares: [f64; Self::LANES],
}

impl ShiftedSums {
    /// As many as any vector has.
    pub const LANES: usize = 16;

    /// Adds the sums of `count` values of each channel.
    #[inline(always)]
    pub fn add(&mut self, count: usize, sums: &[f32], squares: &[f32]) {
        self.count += count;
        let totals = self.sums.iter_mut().zip(sums);
        totals.for_each(|(total, sum)| *total += f64::from(*sum));
        let totals = self.squares.iter_mut().zip(squares);
        totals.for_each(|(total, sum)| *total += f64::from(*sum));
    }

    /// Writes the sums of the first `lanes` channels, and `pitch` later those of the squares.
    pub fn write(&self, out: &mut [f64], pitch: usize, lanes: usize) {
        let count = self.count as f64;
        for lane in 0..lanes {
            let (shift, sum) = (f64::from(self.shift[lane]), self.sums[lane]);
            out[lane] = sum + count * shift;
            out[pitch + lane] = self.squares[lane] + shift * (2.0 * sum + count * shift);
        }
    }
}

/// One pass over `image`.
fn channel_sums(threads: Threads, image: &Image) -> Sums {
    let pitch = image.pitch;
    let band = (256 * 1024 / pitch).max(1);
    let tasks = image.pixels().div_ceil(band);
    let mut partial = vec![0f64; tasks * 2 * pitch];
    threads.for_each_part(&mut partial, 2 * pitch, |task, out| {
        let values = image.values().chunks(band * pitch).nth(task).unwrap_or_default();
        let (sums, squares) = out.split_at_mut(pitch);
        threads.dispatch(SumUp { values, sums, squares });
        image.keep_within_limit();
    });
    Sums::of_parts(&partial, pitch)
}

/// Adds each pixel to the sums of its channels.
struct SumUp<'a> {
    values: &'a [f32],
    sums: &'a mut [f64],
    squares: &'a mut [f64],
}

impl WithSimd for SumUp<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { values, sums, squares } = self;
        for pixel in values.chunks_exact(sums.len()) {
            for ((value, sum), square) in pixel.iter().zip(&mut *sums).zip(&mut *squares) {
                let value = f64::from(*value);
                *sum += value;
                *square += value * value;
            }
        }
    }
}

impl Normalise {
    /// Changes nothing.
    pub fn identity(image: &Image) -> Self {
        let (factors, offsets) = (vec![1.0; image.pitch], vec![0.0; image.pitch]);
        Self { factors, offsets, activation: None }
    }

    /// `out` = what becomes of `pixel`, both as long, of the channels from `first` on.
    #[inline(always)]
    pub fn apply(&self, first: usize, pixel: &[f32], out: &mut [f32]) {
        let (len, pixel) = (out.len(), &pixel[..out.len()]);
        let (factors, offsets) = (&self.factors[first..][..len], &self.offsets[first..][..len]);
        match self.activation {
            Some(Activation::Silu) => {
                for i in 0..len {
                    out[i] = silu(factors[i] * pixel[i] + offsets[i]);
                }
            }
            _ => {
                for i in 0..len {
                    out[i] = factors[i] * pixel[i] + offsets[i];
                }
            }
        }
        match self.activation {
            None | Some(Activation::Silu) => {}
            Some(Activation::Relu) => out.iter_mut().for_each(|x| *x = x.max(0.0)),
            Some(Activation::Mish) => {
                out.iter_mut().for_each(|x| *x *= x.exp().ln_1p().tanh());
            }
            Some(Activation::Gelu) => {
                let root = std::f64::consts::FRAC_1_SQRT_2;
                out.iter_mut().for_each(|x| {
                    let wide = f64::from(*x);
                    *x = (0.5 * wide * (1.0 + libm::erf(wide * root))) as f32;
                });
            }
        }
    }
}

#[inline(always)]
fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// e to the power of `x`, within 2 units in the last place, from 2^-126 to 2^127; no branch, so
/// that compilers turn a loop of it into vectors.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // Adding it rounds to whole numbers, which then lie in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.3, 88.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let whole = rounded - ROUND;
    let rest = (x - whole * LN_2_HIGH) - whole * LN_2_LOW;
    // Taylor's series to the seventh power: the rest is at most ln 2 / 2.
    let mut sum = 1.0 / 5040.0;
    for divisor in [720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0] {
        sum = sum * rest + 1.0 / divisor;
    }
    let power = f32::from_bits(rounded.to_bits().wrapping_add(127) << 23);
    sum * power
}

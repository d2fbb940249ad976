//! Group norm and activation functions, as a scale and a shift of each channel that the next layer
//! applies while it reads its input.

use pulp::{Simd, WithSimd};

use vae_fidelity_core::config::Activation;

use super::exp::exp;
use super::memory::Memory;
use super::sums::ChannelSums;
use super::tensor::NhwcTensor;
use super::threads::Threads;

/// An elementwise operation on activations: `activation(scale * value + shift)`, with a scale and a
/// shift for each channel.
#[derive(Debug, Clone, Default)]
pub struct Normalize {
    /// One for each channel of the pitch, zero for the padding.
    pub scale: Vec<f32>,
    /// One for each channel of the pitch, zero for the padding.
    pub shift: Vec<f32>,
    /// The function applied last, if any.
    pub activation: Option<Activation>,
}

impl Normalize {
    /// Scale 1 and shift 0 for the channels of `tensor`, and no activation function.
    pub fn identity(tensor: &NhwcTensor) -> Self {
        let (scale, shift) = (vec![1.0; tensor.pitch], vec![0.0; tensor.pitch]);
        Self { scale, shift, activation: None }
    }

    /// For the channels of `tensor` by `(mean, variance)`, and then times a weight and plus a bias; `eps` is
    /// added to the variance.
    pub fn by_statistics(
        tensor: &NhwcTensor,
        (weight, bias): (&[f32], &[f32]),
        (mean, variance): (&[f32], &[f32]),
        eps: f64,
    ) -> Self {
        let (mut scale, mut shift) = (vec![0.0; tensor.pitch], vec![0.0; tensor.pitch]);
        for channel in 0..tensor.channels {
            let deviation = (f64::from(variance[channel]) + eps).sqrt();
            let by = f64::from(weight[channel]) / deviation;
            scale[channel] = by as f32;
            shift[channel] = (f64::from(bias[channel]) - f64::from(mean[channel]) * by) as f32;
        }
        Self { scale, shift, activation: None }
    }

    /// Writes to `out` the normalized values of `pixel`, which begins at channel `first` and has at
    /// least as many values.
    #[inline(always)]
    pub(crate) fn apply(&self, first: usize, pixel: &[f32], out: &mut [f32]) {
        let (len, pixel) = (out.len(), &pixel[..out.len()]);
        let (scale, shift) = (&self.scale[first..][..len], &self.shift[first..][..len]);
        match self.activation {
            Some(Activation::Silu) => {
                for i in 0..len {
                    out[i] = silu(scale[i] * pixel[i] + shift[i]);
                }
            }
            _ => {
                for i in 0..len {
                    out[i] = scale[i] * pixel[i] + shift[i];
                }
            }
        }
        match self.activation {
            None | Some(Activation::Silu) => {}
            // Not `max`, which makes 0 of NaN: torch.relu keeps it.
            Some(Activation::Relu) => {
                out.iter_mut().for_each(|x| *x = if *x < 0.0 { 0.0 } else { *x });
            }
            Some(Activation::Mish) => {
                out.iter_mut().for_each(|x| *x *= libm::tanhf(libm::log1pf(libm::expf(*x))));
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

/// `torch.nn.functional.group_norm` of `tensor`, to be applied by [`normalize`] or by the convolution
/// that reads `tensor`.
///
/// `weight` and `bias` have one value for each channel, and `groups` divides the number of channels.
/// The sums that the tensor keeps are used, or computed in one pass; arithmetic is f64. A NaN or an
/// infinity anywhere in `tensor` makes every shift NaN.
pub fn group_norm(
    threads: Threads,
    tensor: &NhwcTensor,
    groups: usize,
    weight: &[f32],
    bias: &[f32],
    eps: f64,
) -> Normalize {
    let sums = tensor.sums().cloned().unwrap_or_else(|| channel_sums(threads, tensor));
    let sums = sums.per_channel();
    let (width, pitch) = (tensor.channels / groups, tensor.pitch);
    let count = (width * tensor.pixels()) as f64;
    let (mut scales, mut shifts) = (vec![0.0; pitch], vec![0.0; pitch]);
    for group in 0..groups {
        let channels = group * width..(group + 1) * width;
        let sum: f64 = sums[channels.clone()].iter().map(|channel| channel.0).sum();
        let squares: f64 = sums[channels.clone()].iter().map(|channel| channel.1).sum();
        let mean = sum / count;
        let inverse_std = 1.0 / ((squares / count - mean * mean).max(0.0) + eps).sqrt();
        for channel in channels {
            let scale = f64::from(weight[channel]) * inverse_std;
            scales[channel] = scale as f32;
            shifts[channel] = (f64::from(bias[channel]) - mean * scale) as f32;
        }
    }
    // `max` above drops a NaN, which has to reach the output.
    if sums.iter().any(|(sum, squares)| !(sum + squares).is_finite()) {
        shifts[..tensor.channels].fill(f32::NAN);
    }
    Normalize { scale: scales, shift: shifts, activation: None }
}

/// `tensor` with `normalize` applied.
pub fn normalize(
    threads: Threads,
    tensor: &NhwcTensor,
    normalize: &Normalize,
    memory: &Memory,
) -> NhwcTensor {
    let mut out = NhwcTensor::uninit(memory, tensor.height, tensor.width, tensor.channels);
    let (row, pitch) = (tensor.width * tensor.pitch, tensor.pitch);
    threads.for_each_part(out.values_mut(), row, |y, out| {
        let pixels = &tensor.values()[y * row..][..row];
        threads.dispatch(Apply { normalize, pixels, out, pitch });
        memory.keep_within_limit();
    });
    out
}

/// Applies `normalize` to one row.
struct Apply<'a> {
    normalize: &'a Normalize,
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
            self.normalize.apply(0, pixel, out);
        }
    }
}

/// `sum` += `tensor`, for tensors of one shape.
pub fn add(threads: Threads, sum: &mut NhwcTensor, tensor: &NhwcTensor) {
    assert_eq!((sum.height, sum.width, sum.pitch), (tensor.height, tensor.width, tensor.pitch));
    let row = tensor.width * tensor.pitch;
    threads.for_each_part(sum.values_mut(), row, |y, sums| {
        for (sum, value) in sums.iter_mut().zip(&tensor.values()[y * row..]) {
            *sum += value;
        }
        tensor.keep_within_limit();
    });
}

/// The sums of all channels, in one pass.
fn channel_sums(threads: Threads, tensor: &NhwcTensor) -> ChannelSums {
    let pitch = tensor.pitch;
    let band = (256 * 1024 / pitch).max(1);
    let tasks = tensor.pixels().div_ceil(band);
    let mut partial = vec![0f64; tasks * 2 * pitch];
    threads.for_each_part(&mut partial, 2 * pitch, |task, out| {
        let values = tensor.values().chunks(band * pitch).nth(task).unwrap_or_default();
        let (sums, squares) = out.split_at_mut(pitch);
        threads.dispatch(SumUp { values, sums, squares });
        tensor.keep_within_limit();
    });
    ChannelSums::from_parts(&partial, pitch)
}

/// Adds pixels to the sums of their channels.
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

#[inline(always)]
pub(crate) fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

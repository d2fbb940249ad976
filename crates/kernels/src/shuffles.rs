//! What `AutoencoderDC` and `AutoencoderKLHunyuanImage` do to channels: move them to pixels and back, take means,
//! repeat, gate and normalize them.

use pulp::{Simd, WithSimd};

use super::clips::{filled, value};
use super::memory::Memory;
use super::norm::silu;
use super::sums::sum_of_squares;
use super::tensor::{NhwcTensor, zero_padded};
use super::threads::Threads;

/// `torch.nn.functional.pixel_unshuffle` by 2: channels in the order (c, ph, pw).
pub fn pixel_unshuffle(threads: Threads, tensor: &NhwcTensor, memory: &Memory) -> NhwcTensor {
    let size = (tensor.height / 2, tensor.width / 2);
    filled(threads, size, 4 * tensor.channels, memory, |y, x, channel| {
        value(tensor, 2 * y + channel / 2 % 2, 2 * x + channel % 2, channel / 4)
    })
}

/// `torch.nn.functional.pixel_shuffle` by 2.
pub fn pixel_shuffle(threads: Threads, tensor: &NhwcTensor, memory: &Memory) -> NhwcTensor {
    let size = (2 * tensor.height, 2 * tensor.width);
    filled(threads, size, tensor.channels / 4, memory, |y, x, channel| {
        value(tensor, y / 2, x / 2, 4 * channel + 2 * (y % 2) + x % 2)
    })
}

/// Squares of 2 x 2 pixels as channels in the order (ph, pw, c).
pub fn squares_to_channels(threads: Threads, tensor: &NhwcTensor, memory: &Memory) -> NhwcTensor {
    let (size, channels) = ((tensor.height / 2, tensor.width / 2), tensor.channels);
    filled(threads, size, 4 * channels, memory, |y, x, channel| {
        let pixel = channel / channels;
        value(tensor, 2 * y + pixel / 2, 2 * x + pixel % 2, channel % channels)
    })
}

/// The inverse of [`squares_to_channels`].
pub fn channels_to_squares(threads: Threads, tensor: &NhwcTensor, memory: &Memory) -> NhwcTensor {
    let (size, channels) = ((2 * tensor.height, 2 * tensor.width), tensor.channels / 4);
    filled(threads, size, channels, memory, |y, x, channel| {
        value(tensor, y / 2, x / 2, (2 * (y % 2) + x % 2) * channels + channel)
    })
}

/// The means of `count` channels each.
pub fn group_means(
    threads: Threads,
    tensor: &NhwcTensor,
    count: usize,
    memory: &Memory,
) -> NhwcTensor {
    let size = (tensor.height, tensor.width);
    filled(threads, size, tensor.channels / count, memory, |y, x, channel| {
        let group = count * channel..count * (channel + 1);
        group.map(|from| value(tensor, y, x, from)).sum::<f32>() / count as f32
    })
}

/// Each channel `times` times, one after another.
pub fn repeat(threads: Threads, tensor: &NhwcTensor, times: usize, memory: &Memory) -> NhwcTensor {
    let size = (tensor.height, tensor.width);
    filled(threads, size, tensor.channels * times, memory, |y, x, channel| {
        value(tensor, y, x, channel / times)
    })
}

/// The channels of tensors of one size, one tensor after another.
pub fn stacked(threads: Threads, tensors: &[&NhwcTensor], memory: &Memory) -> NhwcTensor {
    let (first, channels) = (tensors[0], tensors.iter().map(|tensor| tensor.channels).sum());
    let mut out = NhwcTensor::uninit(memory, first.height, first.width, channels);
    let pitch = out.pitch;
    threads.for_each_part(out.values_mut(), first.width * pitch, |y, out| {
        let mut begin = 0;
        for tensor in tensors {
            let row = tensor.values()[y * tensor.width * tensor.pitch..].chunks_exact(tensor.pitch);
            for (out, pixel) in out.chunks_exact_mut(pitch).zip(row) {
                out[begin..begin + tensor.channels].copy_from_slice(&pixel[..tensor.channels]);
            }
            begin += tensor.channels;
        }
        memory.keep_within_limit();
    });
    out
}

/// The first half of the channels times SiLU of the second.
pub fn gate_by_silu(threads: Threads, tensor: &NhwcTensor, memory: &Memory) -> NhwcTensor {
    let half = tensor.channels / 2;
    let mut out = NhwcTensor::uninit(memory, tensor.height, tensor.width, half);
    let (row, pitch) = (tensor.width * tensor.pitch, out.pitch);
    threads.for_each_part(out.values_mut(), tensor.width * pitch, |y, out| {
        let pixels = &tensor.values()[y * row..][..row];
        let from = (tensor.pitch, half);
        threads.dispatch(Gate { pixels, from, out, pitch });
        memory.keep_within_limit();
    });
    out
}

/// Gates one row, of pixels so far apart with so many channels in a half.
struct Gate<'a> {
    pixels: &'a [f32],
    from: (usize, usize),
    out: &'a mut [f32],
    pitch: usize,
}

impl WithSimd for Gate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { pixels, from: (step, half), out, pitch } = self;
        for (pixel, out) in pixels.chunks_exact(step).zip(out.chunks_exact_mut(pitch)) {
            let (values, gates) = pixel[..2 * half].split_at(half);
            for ((out, value), gate) in out.iter_mut().zip(values).zip(gates) {
                *out = value * silu(*gate);
            }
        }
    }
}

/// The channels of each pixel over the root of the mean of their squares and `eps`, times a weight and plus
/// a bias, which have one value for each.
pub fn rms_norm(
    threads: Threads,
    tensor: &NhwcTensor,
    (weight, bias): (&[f32], &[f32]),
    eps: f64,
    memory: &Memory,
) -> NhwcTensor {
    let mut out = NhwcTensor::uninit(memory, tensor.height, tensor.width, tensor.channels);
    let (weight, bias) = (zero_padded(weight), zero_padded(bias));
    let (row, pitch) = (tensor.width * tensor.pitch, tensor.pitch);
    threads.for_each_part(out.values_mut(), row, |y, out| {
        let pixels = &tensor.values()[y * row..][..row];
        let affine = (&*weight, &*bias);
        threads.dispatch(Norm { pixels, affine, channels: tensor.channels, eps, out, pitch });
        memory.keep_within_limit();
    });
    out
}

/// Normalizes one row.
struct Norm<'a> {
    pixels: &'a [f32],
    affine: (&'a [f32], &'a [f32]),
    channels: usize,
    eps: f64,
    out: &'a mut [f32],
    pitch: usize,
}

impl WithSimd for Norm<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { pixels, affine: (weight, bias), channels, eps, out, pitch } = self;
        for (pixel, out) in pixels.chunks_exact(pitch).zip(out.chunks_exact_mut(pitch)) {
            let sum = sum_of_squares(pixel);
            let scale = (sum / channels as f64 + eps).sqrt().recip() as f32;
            for (((out, value), weight), bias) in out.iter_mut().zip(pixel).zip(weight).zip(bias) {
                *out = value * scale * weight + bias;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planes(memory: &Memory, tensor: &NhwcTensor) -> Vec<f32> {
        let mut planes = vec![0.0; tensor.channels * tensor.pixels()];
        tensor.write_chw(memory, &mut planes);
        planes
    }

    #[test]
    fn squares_are_rows_first_and_come_back() {
        let (threads, memory) = (Threads::new(2), Memory::default());
        let values: Vec<f32> = (0..8).map(|at| at as f32).collect();
        let tensor = NhwcTensor::from_chw(&memory, 2, 4, 1, &values);
        let channels = pixel_unshuffle(threads, &tensor, &memory);
        assert_eq!(planes(&memory, &channels), [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
        let back = pixel_shuffle(threads, &channels, &memory);
        assert_eq!(planes(&memory, &back), values);
    }

    #[test]
    fn squares_are_before_channels_and_come_back() {
        let (threads, memory) = (Threads::new(2), Memory::default());
        let values: Vec<f32> = (0..16).map(|at| at as f32).collect();
        let tensor = NhwcTensor::from_chw(&memory, 2, 4, 2, &values);
        let channels = squares_to_channels(threads, &tensor, &memory);
        let squares = [0.0, 2.0, 8.0, 10.0, 1.0, 3.0, 9.0, 11.0, 4.0, 6.0, 12.0, 14.0];
        assert_eq!(planes(&memory, &channels)[..12], squares);
        let back = channels_to_squares(threads, &channels, &memory);
        assert_eq!(planes(&memory, &back), values);
    }

    #[test]
    fn neighbouring_channels_are_one_group() {
        let (threads, memory) = (Threads::new(1), Memory::default());
        let tensor = NhwcTensor::from_chw(&memory, 1, 1, 4, &[1.0, 2.0, 5.0, 6.0]);
        let means = group_means(threads, &tensor, 2, &memory);
        assert_eq!(planes(&memory, &means), [1.5, 5.5]);
        let repeated = repeat(threads, &means, 2, &memory);
        assert_eq!(planes(&memory, &repeated), [1.5, 1.5, 5.5, 5.5]);
        let stacked = stacked(threads, &[&means, &tensor], &memory);
        assert_eq!(planes(&memory, &stacked), [1.5, 5.5, 1.0, 2.0, 5.0, 6.0]);
        let gated = gate_by_silu(threads, &tensor, &memory);
        let gate = |x: f32| x / (1.0 + (-x).exp());
        let expected = [gate(5.0), 2.0 * gate(6.0)];
        for (found, expected) in planes(&memory, &gated).into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }

    #[test]
    fn the_root_of_the_mean_of_squares_becomes_one() {
        let (threads, memory) = (Threads::new(1), Memory::default());
        let tensor = NhwcTensor::from_chw(&memory, 1, 1, 2, &[1.0, 7.0]);
        let normed = rms_norm(threads, &tensor, (&[1.0, 2.0], &[0.5, 0.0]), 0.0, &memory);
        assert_eq!(planes(&memory, &normed), [0.7, 2.8]);
    }
}

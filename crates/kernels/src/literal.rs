//! What each kernel has to equal: the same sums, written down as they are defined, in f64.

use super::memory::Memory;
use super::tensor::NhwcTensor;

/// A convolution of any size; `above` and `left` rows and columns of zeros there, as many as needed elsewhere.
pub fn convolve(
    input: &NhwcTensor,
    weight: &[f32],
    bias: &[f32],
    (rows, columns): (usize, usize),
    stride: usize,
    (above, left): (usize, usize),
    (height, width): (usize, usize),
) -> NhwcTensor {
    let outputs = bias.len();
    let mut out = NhwcTensor::zeros(&Memory::default(), height, width, outputs);
    let pitch = out.pitch;
    for y in 0..height {
        for x in 0..width {
            for (output, bias) in bias.iter().enumerate() {
                let mut sum = f64::from(*bias);
                for (ky, kx) in (0..rows * columns).map(|at| (at / columns, at % columns)) {
                    let (row, column) = (y * stride + ky, x * stride + kx);
                    let inside = row >= above && column >= left;
                    if !inside || row - above >= input.height || column - left >= input.width {
                        continue;
                    }
                    let pixel = ((row - above) * input.width + column - left) * input.pitch;
                    for channel in 0..input.channels {
                        let at = ((output * input.channels + channel) * rows + ky) * columns + kx;
                        sum += f64::from(input.values()[pixel + channel]) * f64::from(weight[at]);
                    }
                }
                out.values_mut()[(y * width + x) * pitch + output] = sum as f32;
            }
        }
    }
    out
}

/// Each group with mean 0 and variance 1, then a factor and an offset for each channel.
pub fn group_norm(
    input: &NhwcTensor,
    groups: usize,
    weight: &[f32],
    bias: &[f32],
    eps: f64,
) -> NhwcTensor {
    let mut out = input.copied(&Memory::default());
    let (pitch, width) = (input.pitch, input.channels / groups);
    for group in 0..groups {
        let channels = group * width..(group + 1) * width;
        let all: Vec<f64> = input
            .values()
            .chunks_exact(pitch)
            .flat_map(|pixel| pixel[channels.clone()].iter().copied().map(f64::from))
            .collect();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        let variance = all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / all.len() as f64;
        for pixel in out.values_mut().chunks_exact_mut(pitch) {
            for channel in channels.clone() {
                let normed = (f64::from(pixel[channel]) - mean) / (variance + eps).sqrt();
                pixel[channel] =
                    (normed * f64::from(weight[channel]) + f64::from(bias[channel])) as f32;
            }
        }
    }
    out
}

/// Means of `value`, weighted by the softmax of the scores.
pub fn scaled_dot_product_attention(
    query: &NhwcTensor,
    key: &NhwcTensor,
    value: &NhwcTensor,
) -> NhwcTensor {
    let mut out = NhwcTensor::zeros(&Memory::default(), query.height, query.width, query.channels);
    let (pitch, channels) = (query.pitch, query.channels);
    let scale = (channels as f64).sqrt();
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let rows = out.values_mut().chunks_exact_mut(pitch).zip(query.values().chunks_exact(pitch));
    for (out, query) in rows {
        let scores: Vec<f64> =
            key.values().chunks_exact(pitch).map(|key| dot(query, key) / scale).collect();
        let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let shares: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
        let total: f64 = shares.iter().sum();
        for (channel, out) in out[..channels].iter_mut().enumerate() {
            let pixels = value.values().chunks_exact(pitch);
            let sum: f64 = shares
                .iter()
                .zip(pixels)
                .map(|(share, pixel)| share * f64::from(pixel[channel]))
                .sum();
            *out = (sum / total) as f32;
        }
    }
    out
}

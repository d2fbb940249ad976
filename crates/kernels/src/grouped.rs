//! Convolutions in groups of channels that do not see each other, such as depthwise ones, with padding that
//! keeps the size.

use pulp::{Simd, WithSimd};

use super::memory::Memory;
use super::tensor::{CHANNEL_ALIGNMENT, NhwcTensor};
use super::threads::Threads;

/// Weights of a grouped convolution, which makes as many channels as it is given.
#[derive(Debug, Clone, Copy)]
pub struct GroupedConv2dParams<'a> {
    /// (channels, channels / groups, side, side), as PyTorch has it.
    pub weight: &'a [f32],
    /// One value a channel.
    pub bias: Option<&'a [f32]>,
    /// They divide the channels.
    pub groups: usize,
    /// Of the kernel, odd.
    pub side: usize,
}

/// The convolution of `tensor`, of its size.
pub fn convolve(
    threads: Threads,
    params: GroupedConv2dParams,
    tensor: &NhwcTensor,
    memory: &Memory,
) -> NhwcTensor {
    let mut out = NhwcTensor::uninit(memory, tensor.height, tensor.width, tensor.channels);
    let pitch = tensor.pitch;
    let packed = Packed::new(params, tensor.channels, pitch);
    let mut bias = vec![0.0; pitch];
    bias[..tensor.channels].copy_from_slice(params.bias.unwrap_or(&vec![0.0; tensor.channels]));
    threads.for_each_part(out.values_mut(), tensor.width * pitch, |y, out| {
        threads.dispatch(Row { packed: &packed, bias: &bias, tensor, y, out });
        memory.keep_within_limit();
    });
    out
}

/// Weights in the order in which they are read: tap, group, input of the group, output of the group; of a
/// depthwise convolution tap and channel, padded as pixels are.
struct Packed {
    weight: Vec<f32>,
    side: usize,
    /// Channels of a group.
    size: usize,
}

impl Packed {
    fn new(params: GroupedConv2dParams, channels: usize, pitch: usize) -> Self {
        let GroupedConv2dParams { weight, groups, side, .. } = params;
        let (taps, size) = (side * side, channels / groups);
        let tap_len = if size == 1 { pitch } else { channels * size };
        let mut packed = vec![0.0; taps * tap_len];
        for (at, &value) in weight.iter().enumerate() {
            let (tap, input, output) = (at % taps, at / taps % size, at / (taps * size));
            let (group, place) = (output / size, output % size);
            packed[tap * tap_len + (group * size + input) * size + place] = value;
        }
        Self { weight: packed, side, size }
    }
}

/// Computes one row.
struct Row<'a> {
    packed: &'a Packed,
    bias: &'a [f32],
    tensor: &'a NhwcTensor,
    y: usize,
    out: &'a mut [f32],
}

impl WithSimd for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { packed, bias, tensor, y, out } = self;
        let (side, size, pitch) = (packed.side, packed.size, tensor.pitch);
        let half = side / 2;
        let tap_len = packed.weight.len() / (side * side);
        for (x, out) in out.chunks_exact_mut(pitch).enumerate() {
            out.copy_from_slice(bias);
            for tap in 0..side * side {
                let (row, column) = (y + tap / side, x + tap % side);
                let inside = |at: usize, length: usize| at >= half && at - half < length;
                if !inside(row, tensor.height) || !inside(column, tensor.width) {
                    continue;
                }
                let from = ((row - half) * tensor.width + column - half) * pitch;
                let pixel = &tensor.values()[from..][..pitch];
                let weight = &packed.weight[tap * tap_len..][..tap_len];
                match size {
                    1 => depthwise(weight, pixel, out),
                    _ => grouped(weight, size, &pixel[..tensor.channels], out),
                }
            }
        }
    }
}

/// Adds each channel times its weight.
#[inline(always)]
fn depthwise(weight: &[f32], pixel: &[f32], out: &mut [f32]) {
    let weight = weight.as_chunks::<CHANNEL_ALIGNMENT>().0;
    let pixel = pixel.as_chunks::<CHANNEL_ALIGNMENT>().0;
    let out = out.as_chunks_mut::<CHANNEL_ALIGNMENT>().0;
    for ((out, weight), pixel) in out.iter_mut().zip(weight).zip(pixel) {
        for i in 0..CHANNEL_ALIGNMENT {
            out[i] += weight[i] * pixel[i];
        }
    }
}

/// Adds what the channels of each group give, whose `size` outputs lie one after another.
#[inline(always)]
fn grouped(weight: &[f32], size: usize, pixel: &[f32], out: &mut [f32]) {
    let groups = weight.chunks_exact(size * size).zip(pixel.chunks_exact(size));
    for ((weight, inputs), out) in groups.zip(out.chunks_exact_mut(size)) {
        for (weight, &input) in weight.chunks_exact(size).zip(inputs) {
            for (out, weight) in out.iter_mut().zip(weight) {
                *out += weight * input;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By its definition, value by value.
    fn by_definition(params: GroupedConv2dParams, tensor: &NhwcTensor) -> Vec<f32> {
        let (height, width, channels) = (tensor.height, tensor.width, tensor.channels);
        let (side, size) = (params.side, channels / params.groups);
        let half = side / 2;
        let mut planes = Vec::new();
        for output in 0..channels {
            for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
                let mut sum = params.bias.map_or(0.0, |bias| bias[output]);
                for input in 0..size {
                    for (ky, kx) in (0..side).flat_map(|ky| (0..side).map(move |kx| (ky, kx))) {
                        let (Some(row), Some(column)) =
                            ((y + ky).checked_sub(half), (x + kx).checked_sub(half))
                        else {
                            continue;
                        };
                        if row < height && column < width {
                            let channel = output / size * size + input;
                            let weight =
                                params.weight[((output * size + input) * side + ky) * side + kx];
                            sum += weight
                                * tensor.values()[(row * width + column) * tensor.pitch + channel];
                        }
                    }
                }
                planes.push(sum);
            }
        }
        planes
    }

    #[test]
    fn groups_see_their_own_channels() {
        let (threads, memory) = (Threads::new(2), Memory::default());
        let (height, width, channels) = (4, 3, 36);
        let hash = |at: usize| (at * 37 % 23) as f32 - 11.0;
        let values: Vec<f32> = (0..height * width * channels).map(hash).collect();
        let tensor = NhwcTensor::from_chw(&memory, height, width, channels, &values);
        for (groups, side, with_bias) in
            [(36, 5, true), (36, 3, false), (12, 1, false), (4, 3, true)]
        {
            let weight: Vec<f32> =
                (0..channels * (channels / groups) * side * side).map(hash).collect();
            let bias: Vec<f32> = (0..channels).map(hash).collect();
            let bias = with_bias.then_some(bias.as_slice());
            let params = GroupedConv2dParams { weight: &weight, bias, groups, side };
            let convolved = convolve(threads, params, &tensor, &memory);
            let mut planes = vec![0.0; height * width * channels];
            convolved.write_chw(&memory, &mut planes);
            // Whole numbers: no order of additions rounds.
            assert_eq!(planes, by_definition(params, &tensor), "{groups} groups of {side}");
        }
    }
}

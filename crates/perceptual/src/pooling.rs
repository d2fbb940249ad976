//! Pooling of stride 2: `torch.nn.functional.max_pool2d` without padding, and DISTS's of squares.

use vae_fidelity_kernels::memory::Memory;
use vae_fidelity_kernels::tensor::NhwcTensor;
use vae_fidelity_kernels::threads::Threads;

/// Between two windows.
const STRIDE: usize = 2;

/// How many windows of `side` values there are along `length`; `None` where not one fits. With `ceil` the last may
/// reach over the edge, if it begins before it.
pub(crate) fn windows(length: usize, side: usize, ceil: bool) -> Option<usize> {
    let steps = length.checked_sub(side)?;
    Some(1 + if ceil { steps.div_ceil(STRIDE) } else { steps / STRIDE })
}

/// The largest value of each channel in each window; `None` where `tensor` is smaller than one.
pub(crate) fn max_pool(
    threads: Threads,
    tensor: &NhwcTensor,
    (side, ceil): (usize, bool),
    memory: &Memory,
) -> Option<NhwcTensor> {
    let (height, width) = (windows(tensor.height, side, ceil)?, windows(tensor.width, side, ceil)?);
    let mut out = NhwcTensor::uninit(memory, height, width, tensor.channels);
    let pitch = out.pitch;
    threads.for_each_part(out.values_mut(), width * pitch, |y, out| {
        let rows = STRIDE * y..(STRIDE * y + side).min(tensor.height);
        for (x, out) in out.chunks_exact_mut(pitch).enumerate() {
            let columns = STRIDE * x..(STRIDE * x + side).min(tensor.width);
            out.fill(f32::NEG_INFINITY);
            for at in rows.clone().flat_map(|y| columns.clone().map(move |x| y * tensor.width + x))
            {
                for (most, &value) in out.iter_mut().zip(&tensor.values()[at * pitch..][..pitch]) {
                    *most = larger(*most, value);
                }
            }
        }
        memory.keep_within_limit();
    });
    Some(out)
}

/// As torch has it, which keeps NaN.
fn larger(most: f32, value: f32) -> f32 {
    if value > most || value.is_nan() { value } else { most }
}

/// The mean of each channel over 3 x 3 pixels around each; what lies beyond the edge does not count.
pub(crate) fn average_pool_inside(
    threads: Threads,
    tensor: &NhwcTensor,
    memory: &Memory,
) -> NhwcTensor {
    around(threads, tensor, memory, |out, pixels| {
        out.fill(0.0);
        let count = pixels.len() as f32;
        for pixel in pixels {
            out.iter_mut().zip(*pixel).for_each(|(sum, value)| *sum += value);
        }
        out.iter_mut().for_each(|sum| *sum /= count);
    })
}

/// The largest value of each channel over 3 x 3 pixels around each.
pub(crate) fn max_pool_inside(
    threads: Threads,
    tensor: &NhwcTensor,
    memory: &Memory,
) -> NhwcTensor {
    around(threads, tensor, memory, |out, pixels| {
        out.fill(f32::NEG_INFINITY);
        for pixel in pixels {
            out.iter_mut().zip(*pixel).for_each(|(most, value)| *most = larger(*most, *value));
        }
    })
}

/// What `of` makes of the pixels around each, itself among them.
fn around(
    threads: Threads,
    tensor: &NhwcTensor,
    memory: &Memory,
    of: impl Fn(&mut [f32], &[&[f32]]) + Sync,
) -> NhwcTensor {
    let (height, width, pitch) = (tensor.height, tensor.width, tensor.pitch);
    let mut out = NhwcTensor::uninit(memory, height, width, tensor.channels);
    threads.for_each_part(out.values_mut(), width * pitch, |y, out| {
        let mut pixels = Vec::with_capacity(9);
        for (x, out) in out.chunks_exact_mut(pitch).enumerate() {
            pixels.clear();
            for row in y.saturating_sub(1)..(y + 2).min(height) {
                for column in x.saturating_sub(1)..(x + 2).min(width) {
                    pixels.push(&tensor.values()[(row * width + column) * pitch..][..pitch]);
                }
            }
            of(out, &pixels);
        }
        memory.keep_within_limit();
    });
    out
}

/// The weights of a row or a column of a window: a Hann window of five without its zeros, whose sum is 1.
const HANN: [f32; 3] = [0.25, 0.5, 0.25];

/// `L2pooling` of `DISTS_pytorch`: the root of a weighted mean of 3 x 3 squares, zeros around.
pub(crate) fn l2_pool(threads: Threads, tensor: &NhwcTensor, memory: &Memory) -> NhwcTensor {
    let (height, width) = (tensor.height.div_ceil(STRIDE), tensor.width.div_ceil(STRIDE));
    let mut out = NhwcTensor::uninit(memory, height, width, tensor.channels);
    let pitch = out.pitch;
    threads.for_each_part(out.values_mut(), width * pitch, |y, out| {
        for (x, out) in out.chunks_exact_mut(pitch).enumerate() {
            out.fill(0.0);
            for (row, by_row) in inside(y, tensor.height) {
                for (column, by_column) in inside(x, tensor.width) {
                    let (at, weight) = (row * tensor.width + column, by_row * by_column);
                    for (sum, &value) in out.iter_mut().zip(&tensor.values()[at * pitch..][..pitch])
                    {
                        *sum += weight * (value * value);
                    }
                }
            }
            // What pads the channels stays 0.
            let channels = &mut out[..tensor.channels];
            channels.iter_mut().for_each(|value| *value = (*value + 1e-12).sqrt());
        }
        memory.keep_within_limit();
    });
    out
}

/// Which of the three places of window `at` lie inside of `length`, with their weights.
fn inside(at: usize, length: usize) -> impl Iterator<Item = (usize, f32)> {
    let places = HANN.into_iter().enumerate();
    places.filter_map(move |(offset, weight)| {
        let place = (STRIDE * at + offset).checked_sub(1).filter(|&place| place < length)?;
        Some((place, weight))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pooled(side: usize, ceil: bool) -> (usize, usize, Vec<f32>) {
        let memory = Memory::default();
        let values: Vec<f32> = (0..16).map(|at| (at * 7 % 16) as f32 - 8.0).collect();
        let tensor = NhwcTensor::from_chw(&memory, 4, 4, 1, &values);
        let pooled = max_pool(Threads::new(2), &tensor, (side, ceil), &memory).unwrap();
        let mut planes = vec![0.0; pooled.pixels()];
        pooled.write_chw(&memory, &mut planes);
        (pooled.height, pooled.width, planes)
    }

    /// By torch 2.13: `max_pool2d((torch.arange(16) * 7 % 16 - 8.).view(1, 1, 4, 4), side, 2, ceil_mode=ceil)`.
    #[test]
    fn windows_are_torchs() {
        assert_eq!(pooled(2, false), (2, 2, vec![4.0, 6.0, 7.0, 5.0]));
        assert_eq!(pooled(3, false), (1, 1, vec![7.0]));
        assert_eq!(pooled(3, true), (2, 2, vec![7.0, 6.0, 7.0, 5.0]));
        assert_eq!(windows(2, 3, true), None);
    }
}

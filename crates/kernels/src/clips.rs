//! What models of clips have beside the rest: norms over channels, and shortcuts that exchange channels for
//! frames and pixels.

use pulp::{Simd, WithSimd};

use vae_fidelity_core::graph::{AvgDown3D, DupUp3D};

use super::memory::Memory;
use super::sums::sum_of_squares;
use super::tensor::{NhwcTensor, zero_padded};
use super::threads::Threads;

/// What a length is taken for at least, as `torch.nn.functional.normalize` does.
const EPS: f32 = 1e-12;

/// The channels of each pixel over their length, times the root of their number and `gamma`, which has one
/// value for each.
pub fn rms_norm(
    threads: Threads,
    tensor: &NhwcTensor,
    gamma: &[f32],
    memory: &Memory,
) -> NhwcTensor {
    let mut out = NhwcTensor::uninit(memory, tensor.height, tensor.width, tensor.channels);
    let gamma = zero_padded(gamma);
    let root = (tensor.channels as f32).sqrt();
    let (row, pitch) = (tensor.width * tensor.pitch, tensor.pitch);
    threads.for_each_part(out.values_mut(), row, |y, out| {
        let pixels = &tensor.values()[y * row..][..row];
        threads.dispatch(Norm { pixels, gamma: &gamma, root, out, pitch });
        memory.keep_within_limit();
    });
    out
}

/// Normalizes one row.
struct Norm<'a> {
    pixels: &'a [f32],
    gamma: &'a [f32],
    root: f32,
    out: &'a mut [f32],
    pitch: usize,
}

impl WithSimd for Norm<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { pixels, gamma, root, out, pitch } = self;
        for (pixel, out) in pixels.chunks_exact(pitch).zip(out.chunks_exact_mut(pitch)) {
            let length = sum_of_squares(pixel).sqrt() as f32;
            // Not `max`, which drops a NaN.
            let length = if length < EPS { EPS } else { length };
            for ((out, value), gamma) in out.iter_mut().zip(pixel).zip(gamma) {
                *out = value / length * root * gamma;
            }
        }
    }
}

/// `count` channels of `tensor` from channel `first` on.
pub fn channels_of(
    threads: Threads,
    tensor: &NhwcTensor,
    (first, count): (usize, usize),
    memory: &Memory,
) -> NhwcTensor {
    let mut out = NhwcTensor::uninit(memory, tensor.height, tensor.width, count);
    let (row, pitch) = (tensor.width * tensor.pitch, out.pitch);
    threads.for_each_part(out.values_mut(), tensor.width * pitch, |y, out| {
        let pixels = tensor.values()[y * row..][..row].chunks_exact(tensor.pitch);
        for (out, pixel) in out.chunks_exact_mut(pitch).zip(pixels) {
            out[..count].copy_from_slice(&pixel[first..first + count]);
        }
        memory.keep_within_limit();
    });
    out
}

/// `AvgDown3D` of diffusers: each value is the mean of a group of those of a block, over channels, frames and
/// pixels. `frames` are those of the block; those that are not there are before the last one and zeros.
pub fn avg_down(
    threads: Threads,
    frames: &[&NhwcTensor],
    shape: AvgDown3D,
    memory: &Memory,
) -> NhwcTensor {
    let AvgDown3D { out_channels, factor_t, factor_s, .. } = shape;
    let (group, block) = (shape.group_size(), factor_s * factor_s);
    let size = (frames[0].height / factor_s, frames[0].width / factor_s);
    let zeros = factor_t - frames.len();
    let share = 1.0 / group as f32;
    filled(threads, size, out_channels, memory, |y, x, channel| {
        let mut sum = 0.0;
        for flat in channel * group..(channel + 1) * group {
            let (from, place) = (flat / (factor_t * block), flat % (factor_t * block));
            if let Some(frame) = (place / block).checked_sub(zeros) {
                let (row, column) = (place % block / factor_s, place % factor_s);
                sum += value(frames[frame], y * factor_s + row, x * factor_s + column, from);
            }
        }
        sum * share
    })
}

/// `DupUp3D` of diffusers: channels are repeated, and become the values of blocks, of which this is one `frame`.
pub fn dup_up(
    threads: Threads,
    tensor: &NhwcTensor,
    shape: DupUp3D,
    frame: usize,
    memory: &Memory,
) -> NhwcTensor {
    let DupUp3D { out_channels, factor_t, factor_s, .. } = shape;
    let repeats = shape.repeats();
    let size = (tensor.height * factor_s, tensor.width * factor_s);
    filled(threads, size, out_channels, memory, |y, x, channel| {
        let flat =
            ((channel * factor_t + frame) * factor_s + y % factor_s) * factor_s + x % factor_s;
        value(tensor, y / factor_s, x / factor_s, flat / repeats)
    })
}

/// `patchify` of diffusers' Wan: squares of `patch` pixels a side become channels (c, pw, ph).
pub fn patchify(
    threads: Threads,
    tensor: &NhwcTensor,
    patch: usize,
    memory: &Memory,
) -> NhwcTensor {
    let size = (tensor.height / patch, tensor.width / patch);
    filled(threads, size, tensor.channels * patch * patch, memory, |y, x, channel| {
        let (row, column) = (channel % patch, channel / patch % patch);
        value(tensor, y * patch + row, x * patch + column, channel / (patch * patch))
    })
}

/// The inverse of [`patchify`].
pub fn unpatchify(
    threads: Threads,
    tensor: &NhwcTensor,
    patch: usize,
    memory: &Memory,
) -> NhwcTensor {
    let size = (tensor.height * patch, tensor.width * patch);
    filled(threads, size, tensor.channels / (patch * patch), memory, |y, x, channel| {
        let from = (channel * patch + x % patch) * patch + y % patch;
        value(tensor, y / patch, x / patch, from)
    })
}

pub(crate) fn value(tensor: &NhwcTensor, y: usize, x: usize, channel: usize) -> f32 {
    tensor.values()[(y * tensor.width + x) * tensor.pitch + channel]
}

/// A tensor of what `value` gives for row, column and channel.
pub(crate) fn filled(
    threads: Threads,
    (height, width): (usize, usize),
    channels: usize,
    memory: &Memory,
    value: impl Fn(usize, usize, usize) -> f32 + Sync,
) -> NhwcTensor {
    let mut out = NhwcTensor::uninit(memory, height, width, channels);
    let pitch = out.pitch;
    threads.for_each_part(out.values_mut(), width * pitch, |y, out| {
        for (x, pixel) in out.chunks_exact_mut(pitch).enumerate() {
            for (channel, out) in pixel[..channels].iter_mut().enumerate() {
                *out = value(y, x, channel);
            }
        }
        memory.keep_within_limit();
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting(memory: &Memory, (channels, height, width): (usize, usize, usize)) -> NhwcTensor {
        let values: Vec<f32> = (0..channels * height * width).map(|at| at as f32).collect();
        NhwcTensor::from_chw(memory, height, width, channels, &values)
    }

    fn planes(memory: &Memory, tensor: &NhwcTensor) -> Vec<f32> {
        let mut planes = vec![0.0; tensor.channels * tensor.pixels()];
        tensor.write_chw(memory, &mut planes);
        planes
    }

    #[test]
    fn each_pixel_has_the_length_of_the_root_of_its_channels() {
        let (threads, memory) = (Threads::new(1), Memory::default());
        let tensor = NhwcTensor::from_chw(&memory, 1, 2, 2, &[3.0, 0.0, 4.0, 0.0]);
        let normed = rms_norm(threads, &tensor, &[1.0, 2.0], &memory);
        let root = 2f32.sqrt();
        assert_eq!(planes(&memory, &normed), [0.6 * root, 0.0, 0.8 * root * 2.0, 0.0]);
        let nan = NhwcTensor::from_chw(&memory, 1, 1, 2, &[f32::NAN, 1.0]);
        let normed = rms_norm(threads, &nan, &[1.0, 1.0], &memory);
        assert!(planes(&memory, &normed).iter().all(|value| value.is_nan()));
    }

    #[test]
    fn patches_are_columns_first_and_come_back() {
        let (threads, memory) = (Threads::new(2), Memory::default());
        let tensor = counting(&memory, (1, 2, 4));
        let patches = patchify(threads, &tensor, 2, &memory);
        // (pw, ph): down a column of the square before its next one.
        assert_eq!(planes(&memory, &patches), [0.0, 2.0, 4.0, 6.0, 1.0, 3.0, 5.0, 7.0]);
        let back = unpatchify(threads, &patches, 2, &memory);
        assert_eq!(planes(&memory, &back), planes(&memory, &tensor));
    }

    #[test]
    fn a_frame_of_zeros_is_part_of_the_mean() {
        let (threads, memory) = (Threads::new(1), Memory::default());
        let tensor = counting(&memory, (1, 2, 2));
        let shape = AvgDown3D { in_channels: 1, out_channels: 2, factor_t: 1, factor_s: 2 };
        let down = avg_down(threads, &[&tensor], shape, &memory);
        assert_eq!(planes(&memory, &down), [0.5, 2.5], "rows of the block");
        let shape = AvgDown3D { out_channels: 2, factor_t: 2, ..shape };
        let down = avg_down(threads, &[&tensor], shape, &memory);
        assert_eq!(planes(&memory, &down), [0.0, 1.5], "the frame before, and the frame");
        let before = NhwcTensor::from_chw(&memory, 2, 2, 1, &[8.0; 4]);
        let down = avg_down(threads, &[&before, &tensor], shape, &memory);
        assert_eq!(planes(&memory, &down), [8.0, 1.5], "two frames");
    }

    #[test]
    fn repeated_channels_become_frames_and_pixels() {
        let (threads, memory) = (Threads::new(1), Memory::default());
        let tensor = NhwcTensor::from_chw(&memory, 1, 1, 4, &[0.0, 1.0, 2.0, 3.0]);
        let shape = DupUp3D { in_channels: 4, out_channels: 1, factor_t: 1, factor_s: 2 };
        let up = dup_up(threads, &tensor, shape, 0, &memory);
        assert_eq!(planes(&memory, &up), [0.0, 1.0, 2.0, 3.0]);
        let shape = DupUp3D { factor_t: 2, ..shape };
        let up = [0, 1].map(|frame| dup_up(threads, &tensor, shape, frame, &memory));
        assert_eq!(planes(&memory, &up[0]), [0.0, 0.0, 1.0, 1.0]);
        assert_eq!(planes(&memory, &up[1]), [2.0, 2.0, 3.0, 3.0]);
    }
}

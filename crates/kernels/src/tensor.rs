//! Activations in NHWC: the channels of a pixel are contiguous.

use super::memory::{Buffer, Memory};
use super::sums::ChannelSums;

/// Channels are padded with zeros to a multiple of this, which whole vectors of any width divide.
pub(crate) const CHANNEL_ALIGNMENT: usize = 16;

/// Values that are written between two checks of the memory limit.
const PART: usize = 4 << 20;

/// The activation of one image of a batch, (height, width, channels) in f32, of any range.
///
/// Pixels are `pitch` values apart: `channels` rounded up to a multiple of 16. The values between are
/// zero, so that kernels work on whole vectors. The value of channel `c` at row `y` and column `x` is
/// `values()[(y * width + x) * pitch + c]`.
///
/// ```
/// use vae_fidelity_kernels::memory::Memory;
/// use vae_fidelity_kernels::tensor::NhwcTensor;
/// let memory = Memory::default();
/// // Two channels of one row of two pixels.
/// let tensor = NhwcTensor::from_chw(&memory, 1, 2, 2, &[1.0, 2.0, 3.0, 4.0]);
/// assert_eq!((tensor.pitch, tensor.values().len()), (16, 32));
/// let mut pixels = [0.0; 4];
/// tensor.write_hwc(&mut pixels);
/// assert_eq!(pixels, [1.0, 3.0, 2.0, 4.0]);
/// ```
#[derive(Debug)]
pub struct NhwcTensor {
    /// In pixels.
    pub height: usize,
    /// In pixels.
    pub width: usize,
    /// Values of a pixel, without the padding.
    pub channels: usize,
    /// Values from one pixel to the next, [`pitch_of`] the channels.
    pub pitch: usize,
    buffer: Buffer,
    /// Of the present values, where the layer that computed them added them up.
    sums: Option<ChannelSums>,
}

impl NhwcTensor {
    /// A tensor of zeros in `memory`.
    pub fn zeros(memory: &Memory, height: usize, width: usize, channels: usize) -> Self {
        let mut tensor = Self::raw(memory, height, width, channels);
        for part in tensor.buffer.values_mut().chunks_mut(PART) {
            part.fill(0.0);
            memory.keep_within_limit();
        }
        tensor
    }

    /// A tensor for a layer that writes every channel of every pixel: its values are unspecified, the
    /// padding is zero.
    pub fn uninit(memory: &Memory, height: usize, width: usize, channels: usize) -> Self {
        match pitch_of(channels) == channels {
            true => Self::raw(memory, height, width, channels),
            false => Self::zeros(memory, height, width, channels),
        }
    }

    fn raw(memory: &Memory, height: usize, width: usize, channels: usize) -> Self {
        let pitch = pitch_of(channels);
        let buffer = memory.buffer(height * width * pitch);
        Self { height, width, channels, pitch, buffer, sums: None }
    }

    /// Height times width.
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// All values with the padding, (height, width, pitch).
    pub fn values(&self) -> &[f32] {
        self.buffer.values()
    }

    /// All values with the padding, which has to stay zero. Drops [`Self::sums`].
    pub fn values_mut(&mut self) -> &mut [f32] {
        self.sums = None;
        self.buffer.values_mut()
    }

    /// [`Memory::keep_within_limit`] of the memory that holds the values.
    pub fn keep_within_limit(&self) {
        self.buffer.keep_within_limit();
    }

    /// Sums of the values, where the layer that computed them kept them.
    pub fn sums(&self) -> Option<&ChannelSums> {
        self.sums.as_ref()
    }

    /// Keeps `sums` of the present values until they are written to.
    pub(crate) fn set_sums(&mut self, sums: ChannelSums) {
        self.sums = Some(sums);
    }

    /// Writes the values to `planes` as (channels, height, width), without the padding.
    pub fn write_chw(&self, memory: &Memory, planes: &mut [f32]) {
        for (y, row) in self.values().chunks_exact(self.width * self.pitch).enumerate() {
            for channel in 0..self.channels {
                let plane = &mut planes[channel * self.pixels() + y * self.width..][..self.width];
                for (value, pixel) in plane.iter_mut().zip(row.chunks_exact(self.pitch)) {
                    *value = pixel[channel];
                }
            }
            memory.keep_within_limit();
        }
    }

    /// Writes the values to `pixels` as (height, width, channels), without the padding.
    pub fn write_hwc(&self, pixels: &mut [f32]) {
        let from = self.values().chunks_exact(self.pitch);
        for (out, pixel) in pixels.chunks_exact_mut(self.channels).zip(from) {
            out.copy_from_slice(&pixel[..self.channels]);
        }
    }

    /// Twice the height and width, each pixel becoming a 2x2 square: nearest-neighbor upsampling by 2,
    /// as `torch.nn.functional.interpolate` does it.
    pub fn upsample_nearest_2x(&self, memory: &Memory) -> Self {
        self.rearranged(memory, 2 * self.height, 2 * self.width, |y, x| Some((y / 2, x / 2)))
    }

    /// One column of zeros on the right and one row of zeros at the bottom: `torch.nn.functional.pad`
    /// with (0, 1, 0, 1).
    pub fn pad_right_and_bottom(&self, memory: &Memory) -> Self {
        let inside = |y, x| (y < self.height && x < self.width).then_some((y, x));
        self.rearranged(memory, self.height + 1, self.width + 1, inside)
    }

    /// A copy in `memory`.
    pub fn copied(&self, memory: &Memory) -> Self {
        let mut copy = Self::raw(memory, self.height, self.width, self.channels);
        let parts = copy.buffer.values_mut().chunks_mut(PART).zip(self.values().chunks(PART));
        for (out, values) in parts {
            out.copy_from_slice(values);
            memory.keep_within_limit();
        }
        copy
    }

    fn rearranged(
        &self,
        memory: &Memory,
        height: usize,
        width: usize,
        from: impl Fn(usize, usize) -> Option<(usize, usize)>,
    ) -> Self {
        let mut out = Self::raw(memory, height, width, self.channels);
        let rows = out.buffer.values_mut().chunks_exact_mut(width * self.pitch);
        for (row, pixels) in rows.enumerate() {
            for (column, pixel) in pixels.chunks_exact_mut(self.pitch).enumerate() {
                match from(row, column) {
                    Some((y, x)) => {
                        let start = (y * self.width + x) * self.pitch;
                        pixel.copy_from_slice(&self.values()[start..start + self.pitch]);
                    }
                    None => pixel.fill(0.0),
                }
            }
            memory.keep_within_limit();
        }
        out
    }

    /// A tensor of the values `planes`, (channels, height, width).
    pub fn from_chw(
        memory: &Memory,
        height: usize,
        width: usize,
        channels: usize,
        planes: &[f32],
    ) -> Self {
        let mut tensor = Self::raw(memory, height, width, channels);
        let (pixels, pitch) = (tensor.pixels(), tensor.pitch);
        for (y, row) in tensor.values_mut().chunks_exact_mut(width * pitch).enumerate() {
            // While the row is in the cache anyway.
            row.fill(0.0);
            for channel in 0..channels {
                let plane = &planes[channel * pixels + y * width..][..width];
                for (value, pixel) in plane.iter().zip(row.chunks_exact_mut(pitch)) {
                    pixel[channel] = *value;
                }
            }
            memory.keep_within_limit();
        }
        tensor
    }
}

/// The pitch of a tensor of so many channels: rounded up to a multiple of 16.
pub fn pitch_of(channels: usize) -> usize {
    channels.next_multiple_of(CHANNEL_ALIGNMENT)
}

/// A vector of one value for each channel, padded with zeros to the pitch.
pub(crate) fn zero_padded(values: &[f32]) -> Vec<f32> {
    let mut all = vec![0.0; pitch_of(values.len())];
    all[..values.len()].copy_from_slice(values);
    all
}

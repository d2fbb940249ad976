//! One activation as the kernels keep it: pixel by pixel, all channels of a pixel side by side.

use super::memory::{Memory, Room};
use super::norm::Sums;

/// Room for any vector width: channels are filled up with zeros to a multiple of this.
pub const CHANNEL_STEP: usize = 32;

/// Values that are worked on before a look at how much memory is taken.
const PART: usize = 4 << 20;

/// Height x width pixels of `channels` values, each pixel `pitch` values after the one before.
#[derive(Debug)]
pub struct Image {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub pitch: usize,
    room: Room,
    /// Of the values as they are, where the layer that made them has counted.
    sums: Option<Sums>,
}

impl Image {
    /// All zero.
    pub fn zeros(memory: &Memory, height: usize, width: usize, channels: usize) -> Self {
        let mut image = Self::raw(memory, height, width, channels);
        for part in image.room.values_mut().chunks_mut(PART) {
            part.fill(0.0);
            memory.keep_within_limit();
        }
        image
    }

    /// For a layer that writes every channel of every pixel: what they hold is left over. Channels
    /// that fill up are zero.
    pub fn left_over(memory: &Memory, height: usize, width: usize, channels: usize) -> Self {
        match pitch_of(channels) == channels {
            true => Self::raw(memory, height, width, channels),
            false => Self::zeros(memory, height, width, channels),
        }
    }

    fn raw(memory: &Memory, height: usize, width: usize, channels: usize) -> Self {
        let pitch = pitch_of(channels);
        let room = memory.room(height * width * pitch);
        Self { height, width, channels, pitch, room, sums: None }
    }

    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    pub fn values(&self) -> &[f32] {
        self.room.values()
    }

    pub fn values_mut(&mut self) -> &mut [f32] {
        self.sums = None;
        self.room.values_mut()
    }

    /// To be called after each piece of work that reads this, where no [`Memory`] is at hand.
    pub fn keep_within_limit(&self) {
        self.room.keep_within_limit();
    }

    /// What the layer that made the values has counted, if it did.
    pub fn sums(&self) -> Option<&Sums> {
        self.sums.as_ref()
    }

    /// Keeps the sums of the values as they are now.
    pub fn set_sums(&mut self, sums: Sums) {
        self.sums = Some(sums);
    }

    /// One channel after the other, rows from top to bottom, as `(channels, height, width)`.
    pub fn to_planes(&self, memory: &Memory, planes: &mut [f32]) {
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

    /// One pixel after the other, as `(height, width, channels)`.
    pub fn to_pixels(&self, pixels: &mut [f32]) {
        let from = self.values().chunks_exact(self.pitch);
        for (out, pixel) in pixels.chunks_exact_mut(self.channels).zip(from) {
            out.copy_from_slice(&pixel[..self.channels]);
        }
    }

    /// Each pixel four times, as a square.
    pub fn doubled(&self, memory: &Memory) -> Self {
        self.rearranged(memory, 2 * self.height, 2 * self.width, |y, x| Some((y / 2, x / 2)))
    }

    /// A zero column on the right and a zero row at the bottom.
    pub fn padded(&self, memory: &Memory) -> Self {
        let inside = |y, x| (y < self.height && x < self.width).then_some((y, x));
        self.rearranged(memory, self.height + 1, self.width + 1, inside)
    }

    /// The same values in a place of their own.
    pub fn copied(&self, memory: &Memory) -> Self {
        let mut copy = Self::raw(memory, self.height, self.width, self.channels);
        let parts = copy.room.values_mut().chunks_mut(PART).zip(self.values().chunks(PART));
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
        let rows = out.room.values_mut().chunks_exact_mut(width * self.pitch);
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

    /// From `(channels, height, width)` values.
    pub fn from_planes(
        memory: &Memory,
        height: usize,
        width: usize,
        channels: usize,
        planes: &[f32],
    ) -> Self {
        let mut image = Self::zeros(memory, height, width, channels);
        let (pixels, pitch) = (image.pixels(), image.pitch);
        for (y, row) in image.values_mut().chunks_exact_mut(width * pitch).enumerate() {
            for channel in 0..channels {
                let plane = &planes[channel * pixels + y * width..][..width];
                for (value, pixel) in plane.iter().zip(row.chunks_exact_mut(pitch)) {
                    pixel[channel] = *value;
                }
            }
            memory.keep_within_limit();
        }
        image
    }
}

/// `channels` filled up to whole vectors.
pub fn pitch_of(channels: usize) -> usize {
    channels.next_multiple_of(CHANNEL_STEP)
}

/// One value for each channel, and zeros for those that fill up.
pub fn filled_up(values: &[f32]) -> Vec<f32> {
    let mut all = vec![0.0; pitch_of(values.len())];
    all[..values.len()].copy_from_slice(values);
    all
}

//! One activation as the kernels keep it: pixel by pixel, all channels of a pixel side by side.

use std::sync::{Arc, Mutex, PoisonError};

#[cfg(target_os = "linux")]
use memmap2::Advice;
use memmap2::MmapMut;

/// Room for any vector width: channels are filled up with zeros to a multiple of this.
pub const CHANNEL_STEP: usize = 32;

/// Above this, values lie in memory of their own, which huge pages back and which goes back to the
/// system at once: what freed blocks would hold on to is more than the model needs.
const LARGE: usize = 1 << 20;

/// Height x width pixels of `channels` values, each pixel `pitch` values after the one before.
#[derive(Debug)]
pub struct Image {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub pitch: usize,
    values: Values,
    /// Where large values go when they are dropped.
    spare: Option<Spare>,
}

#[derive(Debug)]
enum Values {
    Small(Vec<f32>),
    Large(MmapMut),
}

/// Large blocks of the size that was asked for last, for the next layer: fresh ones have to be
/// cleared by the system first. Blocks of other sizes go back to it.
#[derive(Debug, Clone, Default)]
pub struct Spare(Arc<Mutex<Vec<MmapMut>>>);

impl Spare {
    fn blocks(&self) -> std::sync::MutexGuard<'_, Vec<MmapMut>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, bytes: usize) -> Option<MmapMut> {
        let mut blocks = self.blocks();
        blocks.retain(|block| block.len() == bytes);
        blocks.pop()
    }

    fn give(&self, block: MmapMut) {
        let mut blocks = self.blocks();
        if blocks.iter().all(|other| other.len() == block.len()) {
            blocks.push(block);
        }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let values = std::mem::replace(&mut self.values, Values::Small(Vec::new()));
        if let (Some(spare), Values::Large(block)) = (&self.spare, values) {
            spare.give(block);
        }
    }
}

impl Image {
    /// All zero.
    pub fn zeros(height: usize, width: usize, channels: usize) -> Self {
        let pitch = pitch_of(channels);
        let values = Values::zeros(height * width * pitch);
        Self { height, width, channels, pitch, values, spare: None }
    }

    /// For a layer that writes every channel of every pixel: what they hold is left over. Channels
    /// that fill up are zero.
    pub fn left_over(height: usize, width: usize, channels: usize, spare: &Spare) -> Self {
        let pitch = pitch_of(channels);
        let block = (pitch == channels)
            .then(|| spare.take(height * width * pitch * size_of::<f32>()))
            .flatten();
        let mut image = match block {
            Some(block) => {
                let values = Values::Large(block);
                Self { height, width, channels, pitch, values, spare: None }
            }
            None => Self::zeros(height, width, channels),
        };
        image.spare = Some(spare.clone());
        image
    }

    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    pub fn values(&self) -> &[f32] {
        match &self.values {
            Values::Small(values) => values,
            Values::Large(map) => bytemuck::cast_slice(map),
        }
    }

    pub fn values_mut(&mut self) -> &mut [f32] {
        match &mut self.values {
            Values::Small(values) => values,
            Values::Large(map) => bytemuck::cast_slice_mut(map),
        }
    }

    /// One channel after the other, rows from top to bottom, as `(channels, height, width)`.
    pub fn to_planes(&self, planes: &mut [f32]) {
        for (channel, plane) in planes.chunks_exact_mut(self.pixels()).enumerate() {
            for (value, pixel) in plane.iter_mut().zip(self.values().chunks_exact(self.pitch)) {
                *value = pixel[channel];
            }
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
    pub fn doubled(&self) -> Self {
        self.rearranged(2 * self.height, 2 * self.width, |y, x| Some((y / 2, x / 2)))
    }

    /// A zero column on the right and a zero row at the bottom.
    pub fn padded(&self) -> Self {
        let inside = |y, x| (y < self.height && x < self.width).then_some((y, x));
        self.rearranged(self.height + 1, self.width + 1, inside)
    }

    fn rearranged(
        &self,
        height: usize,
        width: usize,
        from: impl Fn(usize, usize) -> Option<(usize, usize)>,
    ) -> Self {
        let mut out = Self::zeros(height, width, self.channels);
        for (place, pixel) in out.values_mut().chunks_exact_mut(self.pitch).enumerate() {
            if let Some((y, x)) = from(place / width, place % width) {
                let start = (y * self.width + x) * self.pitch;
                pixel.copy_from_slice(&self.values()[start..start + self.pitch]);
            }
        }
        out
    }

    /// From `(channels, height, width)` values.
    pub fn from_planes(height: usize, width: usize, channels: usize, planes: &[f32]) -> Self {
        let mut image = Self::zeros(height, width, channels);
        let (pixels, pitch) = (image.pixels(), image.pitch);
        for (channel, plane) in planes.chunks_exact(pixels).enumerate() {
            for (value, pixel) in plane.iter().zip(image.values_mut().chunks_exact_mut(pitch)) {
                pixel[channel] = *value;
            }
        }
        image
    }
}

/// `channels` filled up to whole vectors.
pub fn pitch_of(channels: usize) -> usize {
    channels.next_multiple_of(CHANNEL_STEP)
}

impl Clone for Image {
    fn clone(&self) -> Self {
        let mut copy = Self::zeros(self.height, self.width, self.channels);
        copy.values_mut().copy_from_slice(self.values());
        copy
    }
}

/// One value for each channel, and zeros for those that fill up.
pub fn filled_up(values: &[f32]) -> Vec<f32> {
    let mut all = vec![0.0; pitch_of(values.len())];
    all[..values.len()].copy_from_slice(values);
    all
}

impl Values {
    fn zeros(len: usize) -> Self {
        let bytes = len * size_of::<f32>();
        if bytes < LARGE {
            return Self::Small(vec![0.0; len]);
        }
        match MmapMut::map_anon(bytes) {
            Ok(map) => {
                // A refusal costs speed alone.
                #[cfg(target_os = "linux")]
                let _ = map.advise(Advice::HugePage);
                Self::Large(map)
            }
            Err(_) => Self::Small(vec![0.0; len]),
        }
    }
}

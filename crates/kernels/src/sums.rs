//! Sums of channels, from which group norm computes mean and variance.

/// Sum and sum of squares of each channel over the pixels of a tensor.
///
/// In f64, since the variance is a difference of two large numbers where the mean is far from zero.
#[derive(Debug, Clone)]
pub struct ChannelSums(Vec<(f64, f64)>);

impl ChannelSums {
    /// Adds up the sums of the parts of a tensor: `parts` has for each part the sums of its `pitch`
    /// channels and then the sums of their squares. They are added in this order, so that the result
    /// does not depend on which thread finished first.
    pub(crate) fn from_parts(parts: &[f64], pitch: usize) -> Self {
        let mut total = vec![(0.0, 0.0); pitch];
        for part in parts.chunks_exact(2 * pitch) {
            let (sums, squares) = part.split_at(pitch);
            for ((channel, sum), square) in total.iter_mut().zip(sums).zip(squares) {
                channel.0 += sum;
                channel.1 += square;
            }
        }
        Self(total)
    }

    /// (sum, sum of squares) of each channel, zero for the padding.
    pub fn per_channel(&self) -> &[(f64, f64)] {
        &self.0
    }
}

/// Sums of one vector of channels, less `shift`: short runs of differences can be added in f32
/// without the loss that values far from zero would suffer.
#[derive(Debug, Default)]
pub(crate) struct ShiftedSums {
    /// A value of each channel.
    pub shift: [f32; Self::LANES],
    count: usize,
    sums: [f64; Self::LANES],
    squares: [f64; Self::LANES],
}

impl ShiftedSums {
    /// Lanes of the widest vector.
    pub const LANES: usize = 16;

    /// Adds the sums, and sums of squares, of `count` differences of each channel.
    #[inline(always)]
    pub fn add(&mut self, count: usize, sums: &[f32], squares: &[f32]) {
        self.count += count;
        let totals = self.sums.iter_mut().zip(sums);
        totals.for_each(|(total, sum)| *total += f64::from(*sum));
        let totals = self.squares.iter_mut().zip(squares);
        totals.for_each(|(total, sum)| *total += f64::from(*sum));
    }

    /// Writes the sums of the first `lanes` channels to `out`, and the sums of squares from `pitch` on.
    pub fn write(&self, out: &mut [f64], pitch: usize, lanes: usize) {
        let count = self.count as f64;
        for lane in 0..lanes {
            let (shift, sum) = (f64::from(self.shift[lane]), self.sums[lane]);
            out[lane] = sum + count * shift;
            out[pitch + lane] = self.squares[lane] + shift * (2.0 * sum + count * shift);
        }
    }
}

/// Values that are accumulated side by side, so that compilers vectorize the loop.
pub(crate) const SIDE_BY_SIDE: usize = 32;

/// The sum of the squares of the channels of `pixel`.
#[inline(always)]
pub(crate) fn sum_of_squares(pixel: &[f32]) -> f64 {
    let mut sums = [0f32; SIDE_BY_SIDE];
    let (chunks, rest) = pixel.as_chunks::<SIDE_BY_SIDE>();
    for values in chunks {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum += value * value;
        }
    }
    for (sum, value) in sums.iter_mut().zip(rest) {
        *sum += value * value;
    }
    sums.iter().map(|sum| f64::from(*sum)).sum()
}

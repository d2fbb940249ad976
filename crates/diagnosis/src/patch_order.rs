//! Orders of the channels that patches of 2 x 2 become.

use ndarray::{Array4, Axis};

/// In which order the values of the patches stand, the last index fastest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PatchOrder {
    /// FLUX.2's, of latents.
    ChannelRowColumn,
    /// Wan 2.2's, of pixels.
    ChannelColumnRow,
    RowColumnChannel,
    ColumnRowChannel,
}

impl PatchOrder {
    const ALL: [Self; 4] = [
        Self::ChannelRowColumn,
        Self::ChannelColumnRow,
        Self::RowColumnChannel,
        Self::ColumnRowChannel,
    ];

    /// All but this one.
    pub fn others(self) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |order| *order != self)
    }

    /// As a shape is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::ChannelRowColumn => "(c, ph, pw)",
            Self::ChannelColumnRow => "(c, pw, ph)",
            Self::RowColumnChannel => "(ph, pw, c)",
            Self::ColumnRowChannel => "(pw, ph, c)",
        }
    }

    /// Which of the patches' channels this is, where `channels` were patched.
    pub fn at(self, [channel, row, column]: [usize; 3], channels: usize) -> usize {
        match self {
            Self::ChannelRowColumn => channel * 4 + row * 2 + column,
            Self::ChannelColumnRow => channel * 4 + column * 2 + row,
            Self::RowColumnChannel => (row * 2 + column) * channels + channel,
            Self::ColumnRowChannel => (column * 2 + row) * channels + channel,
        }
    }

    /// Channel, row and column of what stands at `at`.
    pub fn place(self, at: usize, channels: usize) -> [usize; 3] {
        match self {
            Self::ChannelRowColumn => [at / 4, at / 2 % 2, at % 2],
            Self::ChannelColumnRow => [at / 4, at % 2, at / 2 % 2],
            Self::RowColumnChannel => [at % channels, at / channels / 2, at / channels % 2],
            Self::ColumnRowChannel => [at % channels, at / channels % 2, at / channels / 2],
        }
    }

    /// For each channel of patches in this order, which one it is in FLUX.2's; `patched` are all of them.
    pub fn channels(self, patched: usize) -> Vec<usize> {
        let channels = patched / 4;
        let of = |at| Self::ChannelRowColumn.at(self.place(at, channels), channels);
        (0..patched).map(of).collect()
    }

    /// Latents patched in FLUX.2's order, put into this one.
    pub fn of(self, patched: &Array4<f32>) -> Array4<f32> {
        patched.select(Axis(1), &self.channels(patched.dim().1))
    }

    /// Latents patched in this order, put into FLUX.2's.
    pub fn undone(self, patched: &Array4<f32>) -> Array4<f32> {
        let mut right = patched.clone();
        for (at, channel) in self.channels(patched.dim().1).into_iter().enumerate() {
            right.index_axis_mut(Axis(1), channel).assign(&patched.index_axis(Axis(1), at));
        }
        right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_those_of_numpys_transposes() {
        // Channels 0..8 stand for (c, ph, pw) of two channels.
        let orders: Vec<_> = PatchOrder::ALL.map(|order| order.channels(8)).into();
        // numpy.arange(8).reshape(2, 2, 2).transpose(0, 2, 1).ravel(), and (1, 2, 0), (2, 1, 0).
        assert_eq!(orders[0], [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(orders[1], [0, 2, 1, 3, 4, 6, 5, 7]);
        assert_eq!(orders[2], [0, 4, 1, 5, 2, 6, 3, 7]);
        assert_eq!(orders[3], [0, 4, 2, 6, 1, 5, 3, 7]);
        let patches = Array4::from_shape_fn((1, 8, 1, 2), |(_, c, _, x)| (c * 10 + x) as f32);
        for order in PatchOrder::ChannelRowColumn.others() {
            assert_eq!(order.undone(&order.of(&patches)), patches, "{order:?}");
            assert_ne!(order.of(&patches), patches, "{order:?}");
        }
    }

    #[test]
    fn what_stands_somewhere_is_found_there() {
        for order in PatchOrder::ALL {
            for at in 0..12 {
                assert_eq!(order.at(order.place(at, 3), 3), at, "{order:?}");
            }
        }
    }
}

//! Memory read in another order of axes.

use ndarray::{Array3, ArrayView3};

/// A reshape in place of a permutation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// The memory of (H, W, C), read as (C, H, W).
    HwcAsChw,
    /// The memory of (C, H, W), read as (H, W, C) and then permuted.
    ChwAsHwc,
    /// In each 2 x 2, the top right and the bottom left exchanged: packed by (row, column), unpacked
    /// by (column, row).
    PhasesExchanged,
    /// 2 x 2 packed as (C, row, column), unpacked as (row, column, C).
    PackedChannelsLast,
    /// The reverse.
    PackedChannelsFirst,
}

impl Layout {
    /// All, in words.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::HwcAsChw, "(H, W, C) in memory read as (C, H, W)"),
        (Self::ChwAsHwc, "(C, H, W) in memory read as (H, W, C)"),
        (Self::PhasesExchanged, "2 x 2 patches unpacked by (column, row), not (row, column)"),
        (
            Self::PackedChannelsLast,
            "2 x 2 patches of (C, row, column) unpacked as (row, column, C)",
        ),
        (
            Self::PackedChannelsFirst,
            "2 x 2 patches of (row, column, C) unpacked as (C, row, column)",
        ),
    ];

    /// What brings back what this mixed up.
    pub fn undone(self) -> Self {
        match self {
            Self::HwcAsChw => Self::ChwAsHwc,
            Self::ChwAsHwc => Self::HwcAsChw,
            Self::PhasesExchanged => Self::PhasesExchanged,
            Self::PackedChannelsLast => Self::PackedChannelsFirst,
            Self::PackedChannelsFirst => Self::PackedChannelsLast,
        }
    }

    /// (C, H, W) to the same shape.
    pub fn apply(self, sample: ArrayView3<f32>) -> Array3<f32> {
        let (channels, height, width) = sample.dim();
        let reread = |values: Vec<f32>, shape: (usize, usize, usize)| {
            Array3::from_shape_vec(shape, values).unwrap_or_else(|_| sample.to_owned())
        };
        match self {
            Self::HwcAsChw => {
                let hwc = sample.permuted_axes([1, 2, 0]);
                reread(hwc.iter().copied().collect(), (channels, height, width))
            }
            Self::ChwAsHwc => {
                let hwc = reread(sample.iter().copied().collect(), (height, width, channels));
                hwc.permuted_axes([2, 0, 1]).as_standard_layout().to_owned()
            }
            Self::PhasesExchanged | Self::PackedChannelsLast | Self::PackedChannelsFirst => {
                // The last row and column of an odd side are in no patch.
                let (even_height, even_width) = (height / 2 * 2, width / 2 * 2);
                Array3::from_shape_fn(sample.dim(), |(c, y, x)| {
                    if y >= even_height || x >= even_width {
                        return sample[[c, y, x]];
                    }
                    let (row, column) = (y % 2, x % 2);
                    // Where this value stood in its patch: channel, row and column.
                    let (c, row, column) = match self {
                        Self::PackedChannelsLast => {
                            let at = (2 * row + column) * channels + c;
                            (at / 4, at / 2 % 2, at % 2)
                        }
                        Self::PackedChannelsFirst => {
                            let at = 4 * c + 2 * row + column;
                            (at % channels, at / channels / 2, at / channels % 2)
                        }
                        _ => (c, column, row),
                    };
                    sample[[c, y - y % 2 + row, x - x % 2 + column]]
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mixed_up_can_be_undone() {
        let sample = Array3::from_shape_fn((4, 6, 10), |(c, y, x)| (c * 60 + y * 10 + x) as f32);
        for (layout, name) in Layout::ALL {
            let mixed = layout.apply(sample.view());
            assert_ne!(mixed, sample, "{name}");
            assert_eq!(layout.undone().apply(mixed.view()), sample, "{name}");
        }
    }
}

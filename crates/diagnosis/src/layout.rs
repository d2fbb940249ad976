//! Memory read in another order of axes.

use ndarray::{Array3, ArrayView3};

use super::patch_order::PatchOrder;
use PatchOrder::{ChannelColumnRow, ChannelRowColumn, RowColumnChannel};
use vae_fidelity_core::config::VaeConfig;

/// A reshape in place of a permutation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// The memory of (H, W, C), read as (C, H, W).
    HwcAsChw,
    /// The memory of (C, H, W), read as (H, W, C) and then permuted.
    ChwAsHwc,
    /// Patches of 2 x 2, packed in one order of channels and unpacked in another.
    Patches { packed: PatchOrder, unpacked: PatchOrder },
}

impl Layout {
    /// All that may happen to any tensor, in words.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::HwcAsChw, "(H, W, C) in memory read as (C, H, W)"),
        (Self::ChwAsHwc, "(C, H, W) in memory read as (H, W, C)"),
        (
            // In each 2 x 2, the top right and the bottom left are exchanged.
            Self::Patches { packed: ChannelRowColumn, unpacked: ChannelColumnRow },
            "2 x 2 patches unpacked by (column, row), not (row, column)",
        ),
        (
            Self::Patches { packed: ChannelRowColumn, unpacked: RowColumnChannel },
            "2 x 2 patches of (C, row, column) unpacked as (row, column, C)",
        ),
        (
            Self::Patches { packed: RowColumnChannel, unpacked: ChannelRowColumn },
            "2 x 2 patches of (row, column, C) unpacked as (C, row, column)",
        ),
    ];

    /// The same of pixels: a model that patches them itself may do it in another order than its weights.
    pub fn of_pixels(config: &VaeConfig) -> Vec<(Self, String)> {
        let words = |(layout, what): (Self, &str)| (layout, what.to_owned());
        let VaeConfig::AutoencoderKLWan(wan) = config else {
            return Self::ALL.map(words).into();
        };
        if wan.patch() != 2 {
            return Self::ALL.map(words).into();
        }
        let right = ChannelColumnRow;
        let mut all: Vec<(Self, String)> = Self::ALL.into_iter().take(2).map(words).collect();
        for wrong in right.others() {
            let (wrong_name, right_name) = (wrong.name(), right.name());
            let what = format!(
                "2 x 2 patches of pixels in the order {wrong_name}, where the model has {right_name}"
            );
            // A decoder's, and an encoder's, which is the same where rows and columns are exchanged.
            all.push((Self::Patches { packed: right, unpacked: wrong }, what.clone()));
            if wrong != ChannelRowColumn {
                all.push((Self::Patches { packed: wrong, unpacked: right }, what));
            }
        }
        all
    }

    /// What brings back what this mixed up.
    pub fn undone(self) -> Self {
        match self {
            Self::HwcAsChw => Self::ChwAsHwc,
            Self::ChwAsHwc => Self::HwcAsChw,
            Self::Patches { packed, unpacked } => {
                Self::Patches { packed: unpacked, unpacked: packed }
            }
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
            Self::Patches { packed, unpacked } => {
                // The last row and column of an odd side are in no patch.
                let (even_height, even_width) = (height / 2 * 2, width / 2 * 2);
                Array3::from_shape_fn(sample.dim(), |(c, y, x)| {
                    if y >= even_height || x >= even_width {
                        return sample[[c, y, x]];
                    }
                    // Where this value stood in its patch.
                    let at = unpacked.at([c, y % 2, x % 2], channels);
                    let [c, row, column] = packed.place(at, channels);
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

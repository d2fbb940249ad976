//! Weights of few values: quantised in groups, whatever type they are stored in.

use crate::stored_tensor::StoredTensor;

/// Sizes of groups that tools use.
const GROUPS: [usize; 4] = [256, 128, 64, 32];
/// Values that 4 bits tell apart.
const LEVELS: usize = 16;
/// Groups of a tensor that are looked at, evenly spread over it.
const LOOKED_AT: usize = 12;

/// How a tensor is quantised.
///
/// Groups are of consecutive values as they are stored, or as a library that keeps input channels last
/// has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Values that share a scale: 32, 64, 128 or 256.
    pub group: usize,
    /// Most different values of a group that was looked at.
    pub levels: usize,
}

impl Grid {
    /// Of `tensor`, by twelve groups spread over it: each has at most 16 different values, and groups of
    /// 32 have them at equal steps. `None` where that is not so. 8-bit floats have more.
    pub fn of(tensor: &StoredTensor) -> Option<Self> {
        let count: usize = tensor.shape.iter().product();
        let (outputs, inputs) = (*tensor.shape.first()?, *tensor.shape.get(1)?);
        let kernel: usize = tensor.shape[2..].iter().product();
        if outputs == 0 || inputs == 0 || kernel == 0 {
            return None;
        }
        let as_stored = |index: usize| index;
        // (out, kernel, in) to (out, in, kernel)
        let channels_last = |index: usize| {
            let (output, rest) = (index / (inputs * kernel), index % (inputs * kernel));
            (output * inputs + rest % inputs) * kernel + rest / inputs
        };
        Self::in_order(tensor, count, as_stored).or_else(|| match kernel {
            1 => None,
            _ => Self::in_order(tensor, count, channels_last),
        })
    }

    fn in_order(
        tensor: &StoredTensor,
        count: usize,
        place: impl Fn(usize) -> usize,
    ) -> Option<Self> {
        let mut found: Option<Self> = None;
        for group in GROUPS.into_iter().filter(|group| count / group >= LOOKED_AT) {
            let Some(levels) = most_levels(tensor, count, group, &place) else { continue };
            // Two groups beside each other are no group: their halves have half as many values.
            if found.is_none_or(|larger| 2 * levels <= larger.levels) {
                found = Some(Self { group, levels });
            }
        }
        found.filter(|grid| grid.levels > 1)
    }
}

/// Most different values of a group that is looked at; `None` where one has more than a grid has.
fn most_levels(
    tensor: &StoredTensor,
    count: usize,
    group: usize,
    place: impl Fn(usize) -> usize,
) -> Option<usize> {
    let mut levels = 0;
    for at in 0..LOOKED_AT {
        let first = (count / group) * at / LOOKED_AT * group;
        let values = (first..first + group).map(|index| tensor.value(place(index)));
        let mut values: Vec<f32> = values.collect::<Option<_>>()?;
        values.sort_by(f32::total_cmp);
        values.dedup();
        // Few values are enough in 64, where 8-bit floats have 20; in 32 steps have to be even.
        if values.len() > LEVELS || (group < 64 && !even(&values)) {
            return None;
        }
        levels = levels.max(values.len());
    }
    Some(levels)
}

/// Whether sorted values lie on a grid of as many steps as 4 bits count.
fn even(values: &[f32]) -> bool {
    let (Some(first), Some(last)) = (values.first(), values.last()) else { return false };
    let range = f64::from(last - first);
    // The grid has 2 to 16 points between both ends, whichever are taken.
    (values.len() - 1..LEVELS).filter(|steps| *steps > 0).any(|steps| {
        let step = range / steps as f64;
        // Rounding to bf16 moves a value by up to 1/256 of it.
        values.iter().all(|value| {
            let at = f64::from(value - first) / step;
            let slack = 0.02 + f64::from(value.abs()) / 256.0 / step;
            (at - at.round()).abs() <= slack.min(0.2)
        })
    })
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::dtype::Dtype;

    fn tensor(shape: &[usize], value: impl Fn(usize) -> f32) -> StoredTensor<'static> {
        let count = shape.iter().product();
        let data = (0..count).flat_map(|index| value(index).to_le_bytes()).collect();
        StoredTensor { dtype: Dtype::F32, shape: shape.to_vec(), data: Cow::Owned(data) }
    }

    /// Numbers without a pattern in [-1, 1).
    fn draw(index: usize) -> f32 {
        let mut z = (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bd1_e995;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    #[test]
    fn groups_of_few_values_are_found_in_both_orders() {
        let shape = [64, 64, 3, 3];
        assert_eq!(Grid::of(&tensor(&shape, draw)), None);
        for (group, steps) in [(32, 15.0), (64, 15.0), (64, 7.0), (128, 15.0)] {
            // Each group has a range of its own.
            let quantised = move |index: usize| {
                let range = 1.0 + (index / group) as f32 % 7.0;
                ((draw(index) + 1.0) / 2.0 * steps).round() / steps * range - range / 3.0
            };
            let found = Grid::of(&tensor(&shape, quantised)).unwrap();
            assert_eq!(found.group, group);
            let levels = steps as usize / 2..=steps as usize + 1;
            assert!(levels.contains(&found.levels), "{found:?}");
            let last = move |index: usize| {
                let (output, rest) = (index / (64 * 9), index % (64 * 9));
                quantised((output * 9 + rest % 9) * 64 + rest / 9)
            };
            let found = Grid::of(&tensor(&shape, last)).unwrap();
            assert_eq!(found.group, group, "channels last");
        }
        // 8-bit floats: a sign, two bits of mantissa, and exponents as weights have them.
        let e5m2 = |index: usize| {
            let normal = draw(index) + draw(index + 1_000_000) + draw(index + 2_000_000);
            let scale = 2f32.powi(normal.abs().log2().floor() as i32 - 2);
            (normal / scale).round() * scale
        };
        assert_eq!(Grid::of(&tensor(&shape, e5m2)), None);
    }
}

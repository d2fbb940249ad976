//! Where in pictures the error lies.

use serde::{Deserialize, Serialize};
use vae_fidelity_pixels::Rgb8;

/// Parts of a side.
const PARTS: usize = 16;

/// Squared errors of each part of a picture, row by row, summed over pictures. Sums of integers do not depend on their
/// order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErrorSum {
    squares: Vec<u64>,
    values: Vec<u64>,
}

impl ErrorSum {
    /// Of no picture.
    pub fn none() -> Self {
        Self { squares: vec![0; PARTS * PARTS], values: vec![0; PARTS * PARTS] }
    }

    /// Of two pictures of one size.
    pub fn of(input: &Rgb8, output: &Rgb8) -> Self {
        let mut sum = Self::none();
        let (width, height) = (input.width(), input.height());
        let bytes = 3 * width;
        // Where each part begins; a side shorter than them leaves some without any.
        let begins = |side: usize| -> Vec<usize> {
            (0..=PARTS).map(|part| (part * side).div_ceil(PARTS)).collect()
        };
        let columns = begins(width);
        let rows = input.data().chunks_exact(bytes).zip(output.data().chunks_exact(bytes));
        for (y, (a, b)) in rows.enumerate() {
            let row = y * PARTS / height * PARTS;
            for (column, range) in columns.windows(2).enumerate() {
                let (a, b) = (&a[3 * range[0]..3 * range[1]], &b[3 * range[0]..3 * range[1]]);
                let squares = a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b)).pow(2));
                sum.squares[row + column] += squares.map(u64::from).sum::<u64>();
                sum.values[row + column] += a.len() as u64;
            }
        }
        sum
    }

    /// Adds the pictures of `other`.
    pub fn add(&mut self, other: &Self) {
        for (sums, of) in [(&mut self.squares, &other.squares), (&mut self.values, &other.values)] {
            sums.iter_mut().zip(of).for_each(|(sum, of)| *sum = sum.saturating_add(*of));
        }
    }

    /// Whether it has as many parts as there are.
    pub fn is_whole(&self) -> bool {
        [&self.squares, &self.values].iter().all(|of| of.len() == PARTS * PARTS)
    }

    fn rmse(&self, parts: impl Iterator<Item = usize>) -> Option<f64> {
        let (squares, values) = parts.fold((0, 0), |(squares, values): (u64, u64), part| {
            (squares.saturating_add(self.squares[part]), values.saturating_add(self.values[part]))
        });
        (values > 0).then(|| (squares as f64 / values as f64).sqrt())
    }
}

/// Where in the pictures the error lies, over all of them: root mean squared error in 8-bit values, of pictures rounded
/// to 8 bits, whatever PSNR is of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ErrorMap {
    /// 16 rows of 16 parts, each a sixteenth of a picture high and wide, from the top left; `None` where no picture is
    /// large enough to have pixels there.
    pub rmse: Vec<Vec<Option<f64>>>,
    /// Of the 60 parts at the border.
    pub border_rmse: f64,
    /// Of all others; `None` where no picture is large enough.
    pub interior_rmse: Option<f64>,
}

impl ErrorMap {
    /// `None` where there is no picture.
    pub(crate) fn of(sum: &ErrorSum) -> Option<Self> {
        let is_border = |part: &usize| {
            let on_side = |at: usize| at == 0 || at == PARTS - 1;
            on_side(part / PARTS) || on_side(part % PARTS)
        };
        let row = |y: usize| (0..PARTS).map(|x| sum.rmse([y * PARTS + x].into_iter())).collect();
        let parts = || 0..PARTS * PARTS;
        Some(Self {
            border_rmse: sum.rmse(parts().filter(is_border))?,
            interior_rmse: sum.rmse(parts().filter(|part| !is_border(part))),
            rmse: (0..PARTS).map(row).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(width: usize, height: usize, level: impl Fn(usize, usize) -> u8) -> Rgb8 {
        let at = |i: usize| [level(i % width, i / width); 3];
        Rgb8::new(width, height, (0..width * height).flat_map(at).collect()).unwrap()
    }

    #[test]
    fn errors_lie_where_they_are_made() {
        // 40 is no multiple of 16.
        let (black, other) = (
            picture(40, 32, |_, _| 0),
            picture(40, 32, |x, y| if (x, y) == (39, 0) { 30 } else { 2 }),
        );
        let mut sum = ErrorSum::of(&black, &other);
        sum.add(&ErrorSum::of(&black, &other));
        assert_eq!(sum.values.iter().sum::<u64>(), 2 * 3 * 40 * 32);
        let map = ErrorMap::of(&sum).unwrap();
        for (y, row) in map.rmse.iter().enumerate() {
            for (x, rmse) in row.iter().enumerate() {
                let rmse = rmse.unwrap();
                // The last column of parts is two pixels wide and two high.
                let expected =
                    if (x, y) == (15, 0) { ((900.0 + 12.0) / 4.0f64).sqrt() } else { 2.0 };
                assert!((rmse - expected).abs() < 1e-12, "{x} {y}: {rmse}");
            }
        }
        assert!(map.border_rmse > 2.0);
        assert_eq!(map.interior_rmse, Some(2.0));
    }

    #[test]
    fn small_pictures_leave_parts_out_and_nothing_has_no_map() {
        let small = picture(8, 8, |_, _| 9);
        let map = ErrorMap::of(&ErrorSum::of(&small, &picture(8, 8, |_, _| 8))).unwrap();
        assert_eq!(map.rmse.iter().flatten().flatten().count(), 64);
        assert_eq!(ErrorMap::of(&ErrorSum::none()), None);
    }
}

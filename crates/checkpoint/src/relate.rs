//! Which relation makes one tensor out of another.

use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::stored_tensor::StoredTensor;

use super::arithmetic::{constant, line, other_bits, quantised};
use super::by_values::{in_any_order, mixed};
use super::relation::Relation;

/// The first relation that makes `b` of `a`; both have one shape. `exchanged` finds a tensor of A by its values.
pub(super) fn relate(
    a: &StoredTensor,
    b: &StoredTensor,
    exchanged: impl FnOnce() -> Option<String>,
) -> Option<Relation> {
    let coarser = coarser(a.dtype, b.dtype);
    if same_values(a, b, coarser) {
        return Some(Order::of(a, b, coarser));
    }
    if let Some(with) = exchanged() {
        return Some(Relation::Exchanged { with });
    }
    let [a_values, b_values] = [a.to_f32(), b.to_f32()];
    constant(&a_values, &b_values)
        .or_else(|| other_bits(&a_values, &b_values))
        .or_else(|| line(&a_values, &b_values))
        .or_else(|| quantised(b, &a_values, &b_values))
}

/// The type of fewer digits.
pub(super) fn coarser(a: Dtype, b: Dtype) -> Dtype {
    if a.epsilon() >= b.epsilon() { a } else { b }
}

fn same_values(a: &StoredTensor, b: &StoredTensor, dtype: Dtype) -> bool {
    in_any_order(a, dtype).is_some_and(|sum| in_any_order(b, dtype) == Some(sum))
}

/// What brought the same values into another order.
struct Order;

impl Order {
    fn of(a: &StoredTensor, b: &StoredTensor, dtype: Dtype) -> Relation {
        let [a_values, b_values] = [a, b].map(|tensor| -> Vec<f32> {
            tensor.to_f32().into_iter().map(|value| dtype.round(value)).collect()
        });
        let outputs = a.shape.first().copied().unwrap_or(1).max(1);
        let inputs = a.shape.get(1).copied().unwrap_or(1).max(1);
        let (rows, columns) = match a.shape.as_slice() {
            [_, _, rows, columns] => (*rows, *columns),
            _ => (1, 1),
        };
        let from = |place: &dyn Fn(usize, usize, usize, usize) -> usize| {
            b_values.iter().enumerate().all(|(at, value)| {
                let (rest, column) = (at / columns, at % columns);
                let (rest, row) = (rest / rows, rest % rows);
                a_values.get(place(rest / inputs, rest % inputs, row, column)) == Some(value)
            })
        };
        let index = |output, input, row, column| {
            ((output * inputs + input) * rows + row) * columns + column
        };
        let square = rows == columns && rows > 1;
        if square && from(&|o, i, r, c| index(o, i, c, r)) {
            return Relation::KernelTransposed;
        }
        if rows * columns > 1 && from(&|o, i, r, c| index(o, i, rows - 1 - r, columns - 1 - c)) {
            return Relation::KernelFlipped;
        }
        if rows * columns > 1
            && (from(&|o, i, r, c| index(o, i, rows - 1 - r, c))
                || from(&|o, i, r, c| index(o, i, r, columns - 1 - c)))
        {
            return Relation::KernelMirrored;
        }
        if a.shape.len() >= 2
            && outputs == inputs
            && (from(&|o, i, r, c| index(i, o, r, c)) || from(&|o, i, r, c| index(i, o, c, r)))
        {
            return Relation::Transposed;
        }
        let channels = |values: &[f32]| -> Vec<u64> {
            let channel = |values: &[f32]| {
                let digest =
                    |sum: u64, value: &f32| mixed(sum ^ u64::from((value + 0.0).to_bits()));
                values.iter().fold(0, digest)
            };
            let mut channels: Vec<u64> =
                values.chunks((values.len() / outputs).max(1)).map(channel).collect();
            channels.sort_unstable();
            channels
        };
        match channels(&a_values) == channels(&b_values) {
            true => Relation::OutputsPermuted,
            false => Relation::Permuted,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use half::{bf16, f16};

    use super::*;
    use crate::by_values::ByValues;

    fn stored(shape: &[usize], values: &[f32]) -> StoredTensor<'static> {
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        StoredTensor { dtype: Dtype::F32, shape: shape.to_vec(), data: Cow::Owned(data) }
    }

    /// Weights without a pattern.
    fn weights(count: usize, seed: u64) -> Vec<f32> {
        let draw = |index| (mixed(seed << 32 | index) >> 40) as f32 / (1 << 23) as f32 - 1.0;
        (0..count as u64).map(|index| draw(index) * 0.1 + draw(index + 1_000_000) * 0.05).collect()
    }

    fn relation(shape: &[usize], a: &[f32], b: &[f32]) -> Option<Relation> {
        relate(&stored(shape, a), &stored(shape, b), || None)
    }

    #[test]
    fn a_tensor_that_was_zeroed_is_no_other_training() {
        let a = weights(144, 1);
        let zeroed = relation(&[4, 4, 3, 3], &a, &[0.0; 144]);
        assert_eq!(zeroed, Some(Relation::Constant { value: 0.0 }));
        assert_eq!(zeroed.unwrap().to_string(), "set to 0 throughout");
    }

    /// Norms are near 1, where a factor of next to nothing leaves little as well.
    #[test]
    fn norms_less_one_are_no_factor() {
        let a: Vec<f32> = weights(64, 1).iter().map(|value| 1.0 + value).collect();
        let less: Vec<f32> = a.iter().map(|value| value - 1.0).collect();
        let found = relation(&[64], &a, &less).unwrap();
        assert!(matches!(found, Relation::Moved { by } if (by + 1.0).abs() < 1e-6), "{found:?}");
        assert_eq!(found.to_string(), "minus 1.000");
        // Of ones, too.
        let found = relation(&[64], &[1.0; 64], &weights(64, 2));
        assert_eq!(found, None);
    }

    #[test]
    fn each_order_is_told_from_the_others() {
        let shape = [4, 4, 3, 3];
        let a = weights(144, 1);
        let placed = |place: &dyn Fn(usize, usize, usize, usize) -> [usize; 4]| -> Vec<f32> {
            (0..144)
                .map(|at| {
                    let [o, i, r, c] = place(at / 36, at / 9 % 4, at / 3 % 3, at % 3);
                    a[((o * 4 + i) * 3 + r) * 3 + c]
                })
                .collect()
        };
        let cases: [(Vec<f32>, Relation); 7] = [
            (placed(&|o, i, r, c| [o, i, c, r]), Relation::KernelTransposed),
            (placed(&|o, i, r, c| [o, i, 2 - r, 2 - c]), Relation::KernelFlipped),
            (placed(&|o, i, r, c| [o, i, r, 2 - c]), Relation::KernelMirrored),
            (placed(&|o, i, r, c| [i, o, r, c]), Relation::Transposed),
            (placed(&|o, i, r, c| [(o + 1) % 4, i, r, c]), Relation::OutputsPermuted),
            (placed(&|o, i, r, c| [o, (i + 1) % 4, r, c]), Relation::Permuted),
            (a.iter().map(|value| value * 0.8).collect(), Relation::Factor { factor: 0.8 }),
        ];
        for (b, expected) in cases {
            match (relation(&shape, &a, &b), expected) {
                (Some(Relation::Factor { factor }), Relation::Factor { factor: wanted }) => {
                    assert!((factor - wanted).abs() < 1e-6);
                }
                (found, expected) => assert_eq!(found, Some(expected)),
            }
        }
        // Another training, and what fine-tuning leaves.
        assert_eq!(relation(&shape, &a, &weights(144, 2)), None);
        let tuned: Vec<f32> =
            a.iter().zip(weights(144, 3)).map(|(a, other)| a + 0.02 * other).collect();
        assert_eq!(relation(&shape, &a, &tuned), None);
    }

    #[test]
    fn other_bits_and_other_names_are_found() {
        let a: Vec<f32> = weights(64, 4).iter().map(|&value| Dtype::Bf16.round(value)).collect();
        let misread: Vec<f32> =
            a.iter().map(|&v| f16::from_bits(bf16::from_f32(v).to_bits()).to_f32()).collect();
        assert_eq!(
            relation(&[64], &a, &misread),
            Some(Relation::OtherBits { bits_of: Dtype::Bf16, read_as: Dtype::F16 })
        );
        let mut by_values = ByValues::default();
        let other = stored(&[64], &weights(64, 5));
        by_values.add("x.norm1.weight", &stored(&[64], &a), Dtype::F32);
        by_values.add("x.norm2.weight", &other, Dtype::F32);
        let found = by_values.find("x.norm1.weight", &other, Dtype::F32);
        assert_eq!(found.as_deref(), Some("x.norm2.weight"));
        assert_eq!(by_values.find("x.norm2.weight", &other, Dtype::F32), None);
        let exchanged = |with: &str| Relation::Exchanged { with: with.to_owned() };
        let (one, two) = ("x.norm1.weight", "x.norm2.weight");
        let how = |relations: &[(&str, &Relation)]| Relation::summed(relations)[0].how.clone();
        let both = [(one, &exchanged(two)), (two, &exchanged(one))];
        assert_eq!(how(&both), "norm1 and norm2 exchanged");
        // What it was copied from is as it was.
        assert_eq!(how(&both[..1]), "norm1 with norm2's values");
        // Norms that are all ones are any other's.
        by_values.add("y", &stored(&[2], &[1.0, 1.0]), Dtype::F32);
        assert_eq!(by_values.find("z", &stored(&[2], &[1.0, 1.0]), Dtype::F32), None);
    }
}

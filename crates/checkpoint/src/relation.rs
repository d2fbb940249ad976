//! What makes one tensor out of another: a factor, another order, another name, other bits, few levels.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::stored_tensor::StoredTensor;

use super::arithmetic::{constant, line, other_bits, quantised};
use super::by_values::{in_any_order, mixed};

/// What explains how a tensor of B differs from A's of the same name.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Relation {
    /// B is A times this.
    Factor {
        /// The factor.
        factor: f64,
    },
    /// B is A and this.
    Moved {
        /// What was added to each value.
        by: f64,
    },
    /// B is another tensor of A.
    Exchanged {
        /// That tensor's name.
        with: String,
    },
    /// B is this value throughout, and A is not.
    Constant {
        /// The value.
        value: f32,
    },
    /// Outputs and inputs change places.
    Transposed,
    /// Rows and columns of each kernel change places.
    KernelTransposed,
    /// Each kernel is turned about both of its axes, as a convolution in the mathematical sense wants it.
    KernelFlipped,
    /// Each kernel is mirrored about one axis.
    KernelMirrored,
    /// The same output channels in another order.
    OutputsPermuted,
    /// The same values in another order: input channels, or both.
    Permuted,
    /// B is what A's bits mean in the other 16-bit type.
    OtherBits {
        /// What the bits are.
        bits_of: Dtype,
        /// What they were read as.
        read_as: Dtype,
    },
    /// B is A with few values in each group.
    Quantised {
        /// Values of a group.
        group: usize,
        /// Most different values of a group.
        levels: usize,
    },
}

/// Tensors that one relation explains.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Related {
    /// How many.
    pub count: usize,
    /// In words.
    pub how: String,
    /// Their names.
    pub tensors: Vec<String>,
}

impl Relation {
    /// The first that makes `b` of `a`; both have one shape. `exchanged` finds a tensor of A by its values.
    pub(super) fn of(
        a: &StoredTensor,
        b: &StoredTensor,
        exchanged: impl FnOnce() -> Option<String>,
    ) -> Option<Self> {
        let coarser = coarser(a.dtype, b.dtype);
        if same_values(a, b, coarser) {
            return Some(Order::of(a, b, coarser));
        }
        if let Some(with) = exchanged() {
            return Some(Self::Exchanged { with });
        }
        let [a_values, b_values] = [a.to_f32(), b.to_f32()];
        constant(&a_values, &b_values)
            .or_else(|| other_bits(&a_values, &b_values))
            .or_else(|| line(&a_values, &b_values))
            .or_else(|| quantised(b, &a_values, &b_values))
    }

    /// As a sentence about many tensors has it: `times 0.800`.
    fn how(&self) -> String {
        match self {
            Self::Factor { factor } => format!("times {factor:.3}"),
            Self::Moved { by } if *by < 0.0 => format!("minus {:.3}", -by),
            Self::Moved { by } => format!("plus {by:.3}"),
            Self::Exchanged { .. } => "exchanged".to_owned(),
            Self::Constant { value } => format!("set to {value} throughout"),
            Self::Transposed => "transposed".to_owned(),
            Self::KernelTransposed => "with rows and columns of kernels exchanged".to_owned(),
            Self::KernelFlipped => "with kernels turned by 180 degrees".to_owned(),
            Self::KernelMirrored => "with kernels mirrored".to_owned(),
            Self::OutputsPermuted => "with output channels in another order".to_owned(),
            Self::Permuted => "with the same values in another order".to_owned(),
            Self::OtherBits { bits_of, read_as } => {
                format!("with bits of {bits_of} read as {read_as}")
            }
            Self::Quantised { group, levels } => {
                let bits = (*levels).max(2).next_power_of_two().trailing_zeros();
                format!("quantised to {bits} bits for each {group} values")
            }
        }
    }

    /// The relations of many tensors, by name, put together: the most frequent first.
    pub(super) fn summed(relations: &[(&str, &Self)]) -> Vec<Related> {
        let mut by_how: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        let source = |name: &str| {
            let of = relations.iter().find(|(of, _)| *of == name);
            of.and_then(|(_, relation)| match relation {
                Self::Exchanged { with } => Some(with.as_str()),
                _ => None,
            })
        };
        for (name, relation) in relations {
            let how = match relation {
                Self::Exchanged { with } if source(with) == Some(name) => exchange(name, with),
                Self::Exchanged { with } => copied(name, with),
                relation => relation.how(),
            };
            by_how.entry(how).or_default().push(name);
        }
        let related = |(how, names): (String, Vec<&str>)| Related {
            count: names.len(),
            how,
            tensors: names.into_iter().map(str::to_owned).collect(),
        };
        let mut summed: Vec<Related> = by_how.into_iter().map(related).collect();
        summed.sort_by_key(|related| std::cmp::Reverse(related.count));
        summed
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exchanged { with } => write!(f, "with the values of {with}"),
            relation => f.write_str(&relation.how()),
        }
    }
}

/// `to_q and to_v exchanged`, in a fixed order.
fn exchange(name: &str, with: &str) -> String {
    match differing(name, with).into_iter().collect::<Vec<_>>().as_slice() {
        [one, other] => format!("{one} and {other} exchanged"),
        _ => "with other tensors' values".to_owned(),
    }
}

/// `decoder with encoder's values`: what they were copied from is as it was.
fn copied(name: &str, from: &str) -> String {
    let parts: Vec<&str> = differing(name, from).into_iter().collect();
    let mine = |part: &&str| name.split('.').any(|of| of == *part);
    match parts.as_slice() {
        [one, other] if mine(one) != mine(other) => {
            let (to, from) = if mine(one) { (one, other) } else { (other, one) };
            format!("{to} with {from}'s values")
        }
        _ => "with other tensors' values".to_owned(),
    }
}

/// The parts in which two names differ.
fn differing<'a>(name: &'a str, with: &'a str) -> BTreeSet<&'a str> {
    let [mine, theirs]: [Vec<&str>; 2] = [name, with].map(|name| name.split('.').collect());
    let mut differing = BTreeSet::new();
    if mine.len() == theirs.len() {
        let pairs = mine.iter().zip(&theirs).filter(|(a, b)| a != b);
        for (a, b) in pairs {
            differing.extend([*a, *b]);
        }
    }
    differing
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
        Relation::of(&stored(shape, a), &stored(shape, b), || None)
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

//! What makes one tensor out of another: a factor, another order, another name, other bits, few levels.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use vae_fidelity_core::dtype::Dtype;

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

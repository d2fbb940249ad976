//! Two checkpoints beside each other, tensor by tensor.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::by_values::ByValues;
use super::contents::{Contents, TensorInfo};
use super::mixture::Mixture;
use super::relate::{coarser, relate};
use super::relation::{Related, Relation};
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::metrics::ValueDifference;

/// One tensor that both checkpoints have, or one of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TensorDifference {
    /// Its diffusers name.
    pub name: String,
    /// Its shape in each; `None` where it is missing.
    pub shapes: [Option<Vec<usize>>; 2],
    /// How each stores it.
    pub dtypes: [Option<String>; 2],
    /// How the values compare; `None` where it is missing in one, shapes differ or values cannot be
    /// read.
    pub values: Option<ValueDifference>,
    /// What makes B's values of A's; left out where they are equal, and where nothing simple does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relation: Option<Relation>,
}

/// A field in which two configs differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FieldDifference {
    /// Its name in `config.json`.
    pub field: String,
    /// A's value; `null` where it is not known.
    pub a: Value,
    /// B's value.
    pub b: Value,
}

/// What differs between two checkpoints.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CheckpointDifference {
    /// Whether every tensor is bit-equal and no field of the config differs.
    pub identical: bool,
    /// What it comes to, in a sentence.
    pub conclusion: String,
    /// Tensors that both have in one shape.
    pub compared: usize,
    /// Those of them that are equal to the bit.
    pub bit_equal: usize,
    /// Those of them that hold the same values, whatever their dtypes.
    pub equal: usize,
    /// Names that only A has.
    pub only_in_a: Vec<String>,
    /// Names that only B has.
    pub only_in_b: Vec<String>,
    /// Names whose shapes differ.
    pub other_shapes: Vec<String>,
    /// Root of the mean squared difference, as a share of A's root mean square; `None` where
    /// nothing finite could be compared.
    pub relative_rms: Option<f64>,
    /// Fields of the config that differ, defaults filled in.
    pub config: Vec<FieldDifference>,
    /// What makes B's tensors of A's, where that is simple: the most frequent first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub relations: Vec<Related>,
    /// How B is mixed of A and a third checkpoint, where one was given and B is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mixture: Option<Mixture>,
    /// Every tensor of either.
    pub tensors: Vec<TensorDifference>,
}

impl CheckpointDifference {
    /// Holds `b` against `a`.
    pub fn of(a: &Contents, b: &Contents) -> Self {
        let [in_a, in_b] = [a, b].map(|contents| -> BTreeMap<String, TensorInfo> {
            contents.tensors().into_iter().map(|info| (info.name.clone(), info)).collect()
        });
        let names: BTreeSet<&String> = in_a.keys().chain(in_b.keys()).collect();
        let mut by_values = None;
        let tensors: Vec<TensorDifference> = names
            .into_iter()
            .map(|name| {
                let infos = [in_a.get(name), in_b.get(name)];
                let shapes = infos.map(|info| info.map(|info| info.shape.clone()));
                let same_shape = shapes[0].is_some() && shapes[0] == shapes[1];
                let (values, relation) = match (a.read(name), b.read(name)) {
                    (Some(in_a), Some(in_b)) if same_shape => {
                        let values = ValueDifference::of(&in_a, &in_b);
                        let mut related = || {
                            // Of equal dtypes throughout, as nearly all files are.
                            let dtype = coarser(in_a.dtype, in_b.dtype);
                            let exchanged = || {
                                let known = by_values.get_or_insert_with(|| indexed(a, dtype));
                                known.find(name, &in_b, dtype)
                            };
                            relate(&in_a, &in_b, exchanged)
                        };
                        let relation = if values.is_plain() { None } else { related() };
                        (Some(values), relation)
                    }
                    _ => (None, None),
                };
                let dtypes = infos.map(|info| info.map(|info| info.dtype.clone()));
                TensorDifference { name: name.clone(), shapes, dtypes, values, relation }
            })
            .collect();
        let named = |which: &dyn Fn(&TensorDifference) -> bool| -> Vec<String> {
            tensors.iter().filter(|t| which(t)).map(|t| t.name.clone()).collect()
        };
        let values: Vec<ValueDifference> = tensors.iter().filter_map(|t| t.values).collect();
        let squared_error: f64 = values.iter().map(|tensor| tensor.squared_error).sum();
        let squared_values: f64 = values.iter().map(|tensor| tensor.squared_values).sum();
        let relative_rms = (squared_error / squared_values).sqrt();
        let mut difference = Self {
            identical: false,
            conclusion: String::new(),
            compared: values.len(),
            bit_equal: values.iter().filter(|tensor| tensor.bit_equal).count(),
            equal: values.iter().filter(|tensor| tensor.equal).count(),
            only_in_a: named(&|t| t.shapes[1].is_none()),
            only_in_b: named(&|t| t.shapes[0].is_none()),
            other_shapes: named(&|t| {
                t.shapes.iter().all(Option::is_some) && t.shapes[0] != t.shapes[1]
            }),
            relative_rms: relative_rms.is_finite().then_some(relative_rms),
            config: fields(a, b),
            relations: Relation::summed(
                &tensors
                    .iter()
                    .filter_map(|t| Some((t.name.as_str(), t.relation.as_ref()?)))
                    .collect::<Vec<_>>(),
            ),
            mixture: None,
            tensors,
        };
        let whole = difference.bit_equal == difference.tensors.len() && difference.compared > 0;
        difference.identical = whole && difference.config.is_empty();
        difference.conclusion = difference.conclude();
        difference
    }

    /// The same, where `b` may be a mixture of `a` and `c`.
    pub fn beside(self, a: &Contents, b: &Contents, c: &Contents) -> Self {
        // What A alone explains needs no third.
        let other = !self.identical && self.relations.is_empty() && self.only_in_b.is_empty();
        let mixture = if other { Mixture::of(a, b, c) } else { None };
        let mut difference = Self { mixture, ..self };
        difference.conclusion = difference.conclude();
        difference
    }

    /// The sentence that a reader wants first.
    fn conclude(&self) -> String {
        let fields: Vec<&str> = self.config.iter().map(|field| field.field.as_str()).collect();
        let configs = match fields.as_slice() {
            [] => String::new(),
            fields => format!("; the configs differ in {}", fields.join(", ")),
        };
        format!("{}{configs}", self.conclude_weights())
    }

    fn conclude_weights(&self) -> String {
        if self.compared == 0 {
            return "no tensor can be compared".to_owned();
        }
        let strangers = self.only_in_a.len() + self.only_in_b.len() + self.other_shapes.len();
        if strangers > 0 {
            return format!(
                "different graphs: {} tensors only in A, {} only in B, {} of other shapes; of {} \
                 that both have, {} are equal",
                self.only_in_a.len(),
                self.only_in_b.len(),
                self.other_shapes.len(),
                self.compared,
                self.equal,
            );
        }
        let values: Vec<&ValueDifference> =
            self.tensors.iter().filter_map(|tensor| tensor.values.as_ref()).collect();
        if values.len() < self.tensors.len() {
            let unread = self.tensors.len() - values.len();
            return format!(
                "{unread} tensors cannot be read: {} of the others are equal",
                self.equal
            );
        }
        if self.bit_equal == self.compared {
            return "the same weights, bit for bit".to_owned();
        }
        let dtypes = |which: usize| -> String {
            let names: BTreeSet<&str> =
                self.tensors.iter().filter_map(|tensor| tensor.dtypes[which].as_deref()).collect();
            names.into_iter().collect::<Vec<_>>().join(" and ")
        };
        if values.iter().all(|value| value.equal) {
            return format!("the same values: A stores them as {}, B as {}", dtypes(0), dtypes(1));
        }
        if values.iter().all(|value| value.b_rounds_a) {
            return format!("the same weights: B is A rounded to {}", dtypes(1));
        }
        if values.iter().all(|value| value.a_rounds_b) {
            return format!("the same weights: A is B rounded to {}", dtypes(0));
        }
        if let Some(mixture) = &self.mixture {
            return mixture.conclusion();
        }
        if let Some(related) = self.conclude_relations() {
            return related;
        }
        let broken: Vec<&str> = self
            .tensors
            .iter()
            .filter(|tensor| {
                tensor.values.is_some_and(|v| v.differing > 0 && v.max_abs_diff.is_none())
            })
            .map(|tensor| tensor.name.as_str())
            .collect();
        if let [first, others @ ..] = broken.as_slice() {
            let more = if others.is_empty() { "" } else { ", ..." };
            return format!(
                "values that are NaN or infinite in {} of {} tensors ({first}{more}); {} of the \
                 others are equal",
                broken.len(),
                self.compared,
                self.equal
            );
        }
        let parts = self.parts();
        let which = match parts.as_slice() {
            [] => String::new(),
            equal => format!(" (the same {})", equal.join(", ")),
        };
        match self.relative_rms {
            // Independent weights of one spread lie sqrt(2) apart.
            Some(share) if share < 0.5 => format!(
                "other weights that lie near{which}: {:.3} % apart, as fine-tuning, averaging or \
                 another precision leaves them",
                share * 100.0
            ),
            Some(share) => {
                format!("other weights{which}: {:.1} % apart, of another training", share * 100.0)
            }
            None => format!("other weights{which}"),
        }
    }

    /// What makes B of A, where that is simple for more than half of the tensors that differ by more than
    /// rounding.
    fn conclude_relations(&self) -> Option<String> {
        let differing = |t: &&TensorDifference| t.values.is_some_and(|values| !values.is_plain());
        let differing = self.tensors.iter().filter(differing).count();
        let related: usize = self.relations.iter().map(|related| related.count).sum();
        if related * 2 <= differing {
            return None;
        }
        let of_factors: Vec<f64> = self.factors();
        let factors = of_factors.len() * 10 > related * 9;
        if factors && let (Some(least), Some(most)) = (of_factors.first(), of_factors.last()) {
            let how = match most - least < 0.01 {
                true => format!("B is {:.3} times A", of_factors[of_factors.len() / 2]),
                false => format!("B's tensors are A's times {least:.3} to {most:.3}"),
            };
            return Some(format!("{how}, in {} tensors of {}", of_factors.len(), self.compared));
        }
        const SHOWN: usize = 3;
        let shown: Vec<String> = self
            .relations
            .iter()
            .take(SHOWN)
            .map(|related| {
                let first = related.tensors.first().map_or("", String::as_str);
                let more = if related.count > 1 { ", ..." } else { "" };
                format!("{} {} ({first}{more})", counted(related.count), related.how)
            })
            .collect();
        let more = if self.relations.len() > SHOWN { ", and more" } else { "" };
        let others = match differing - related {
            0 => String::new(),
            others => format!("; {} otherwise", counted(others)),
        };
        Some(format!("B is A with {}{more}{others}", shown.join(", ")))
    }

    /// What tensors were multiplied by, from small to large.
    fn factors(&self) -> Vec<f64> {
        let factor = |tensor: &TensorDifference| match tensor.relation {
            Some(Relation::Factor { factor }) => Some(factor),
            _ => None,
        };
        let mut factors: Vec<f64> = self.tensors.iter().filter_map(factor).collect();
        factors.sort_by(f64::total_cmp);
        factors
    }

    /// Parts of the VAE whose tensors are all equal.
    fn parts(&self) -> Vec<&'static str> {
        ["encoder", "decoder", "quant_conv", "post_quant_conv"]
            .into_iter()
            .filter(|part| {
                let mut of_part =
                    self.tensors.iter().filter(|t| t.name.split('.').next() == Some(part));
                let some = of_part.clone().next().is_some();
                some && of_part.all(|t| t.values.is_some_and(|values| values.equal))
            })
            .collect()
    }
}

/// `1 tensor`, `3 tensors`.
fn counted(count: usize) -> String {
    format!("{count} tensor{}", if count == 1 { "" } else { "s" })
}

/// A's tensors by their values, rounded to `dtype`.
fn indexed(a: &Contents, dtype: Dtype) -> ByValues {
    let mut by_values = ByValues::default();
    for info in a.tensors() {
        if let Some(tensor) = a.read(&info.name) {
            by_values.add(&info.name, &tensor, dtype);
        }
    }
    by_values
}

/// Fields in which what is known of the configs differs.
fn fields(a: &Contents, b: &Contents) -> Vec<FieldDifference> {
    let known = |contents: &Contents| -> BTreeMap<String, Value> {
        let config = contents.config().and_then(|config| serde_json::to_value(config).ok());
        let Some(Value::Object(fields)) = config else { return BTreeMap::new() };
        let origins = contents.origins();
        fields.into_iter().filter(|(field, _)| origins.contains_key(field)).collect()
    };
    let [a, b] = [known(a), known(b)];
    // What is not known of one, and nothing in the other, is no difference.
    let same = |field: &String| match (a.get(field), b.get(field)) {
        (None, other) | (other, None) => other.is_none_or(Value::is_null),
        (a, b) => a == b,
    };
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    names
        .into_iter()
        .filter(|field| !same(field))
        .map(|field| FieldDifference {
            field: field.clone(),
            a: a.get(field).cloned().unwrap_or_default(),
            b: b.get(field).cloned().unwrap_or_default(),
        })
        .collect()
}

//! Two checkpoints beside each other, tensor by tensor.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::contents::{Contents, TensorInfo};
use super::entry::StoredTensor;
use vae_fidelity_core::dtype::Dtype;

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
}

/// How the values of two tensors of one shape compare.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ValueDifference {
    /// Same dtype, same bits.
    pub bit_equal: bool,
    /// Same values, in whatever dtypes (NaN and infinity equal nothing, 0 equals -0).
    pub equal: bool,
    /// B's values are A's, rounded to B's dtype.
    pub b_rounds_a: bool,
    /// A's values are B's, rounded to A's dtype.
    pub a_rounds_b: bool,
    /// Values that differ.
    pub differing: usize,
    /// Largest difference; `None` where a value is not finite.
    pub max_abs_diff: Option<f64>,
    /// Sum of squared differences, and of squared values of A, of which shares are made.
    #[serde(skip)]
    squares: [f64; 2],
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
        let tensors: Vec<TensorDifference> = names
            .into_iter()
            .map(|name| {
                let infos = [in_a.get(name), in_b.get(name)];
                let shapes = infos.map(|info| info.map(|info| info.shape.clone()));
                let same_shape = shapes[0].is_some() && shapes[0] == shapes[1];
                let values = match (a.read(name), b.read(name)) {
                    (Some(a), Some(b)) if same_shape => Some(ValueDifference::of(&a, &b)),
                    _ => None,
                };
                let dtypes = infos.map(|info| info.map(|info| info.dtype.clone()));
                TensorDifference { name: name.clone(), shapes, dtypes, values }
            })
            .collect();
        let named = |which: &dyn Fn(&TensorDifference) -> bool| -> Vec<String> {
            tensors.iter().filter(|t| which(t)).map(|t| t.name.clone()).collect()
        };
        let values: Vec<ValueDifference> = tensors.iter().filter_map(|t| t.values).collect();
        let squares = values.iter().fold([0.0, 0.0], |[error, size], tensor| {
            [error + tensor.squares[0], size + tensor.squares[1]]
        });
        let relative_rms = (squares[0] / squares[1]).sqrt();
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
            tensors,
        };
        let whole = difference.bit_equal == difference.tensors.len() && difference.compared > 0;
        difference.identical = whole && difference.config.is_empty();
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

impl ValueDifference {
    fn of(a: &StoredTensor, b: &StoredTensor) -> Self {
        let bit_equal = a.dtype == b.dtype && a.data == b.data;
        let mut difference = Self {
            bit_equal,
            equal: true,
            b_rounds_a: true,
            a_rounds_b: true,
            differing: 0,
            max_abs_diff: Some(0.0),
            squares: [0.0, 0.0],
        };
        let [a_values, b_values] = [a.to_f32(), b.to_f32()];
        for (a_value, b_value) in a_values.into_iter().zip(b_values) {
            difference.add(a_value, b_value, a.dtype, b.dtype);
        }
        difference
    }

    fn add(&mut self, a: f32, b: f32, a_dtype: Dtype, b_dtype: Dtype) {
        if a != b {
            self.equal = false;
            self.differing += 1;
            self.b_rounds_a &= b_dtype.round(a) == b;
            self.a_rounds_b &= a_dtype.round(b) == a;
        }
        if !a.is_finite() || !b.is_finite() {
            self.max_abs_diff = None;
            return;
        }
        let (a, b) = (f64::from(a), f64::from(b));
        let error = (a - b).abs();
        self.max_abs_diff = self.max_abs_diff.map(|max| max.max(error));
        self.squares[0] += error * error;
        self.squares[1] += a * a;
    }
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

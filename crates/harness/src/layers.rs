//! Two traces of one stage beside each other, layer by layer.

use std::collections::HashMap;

use serde::Serialize;

use super::compare::Tolerance;
use vae_fidelity_core::trace::{Activation, Stage, Trace};

/// How near a layer's output comes to the expected one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Agreement {
    /// Every bit of every value, known by the SHA-256 of both.
    Identical,
    /// Not identical, or not known to be: statistics and sampled values lie within the tolerance.
    WithinRounding,
    /// Shape, statistics or sampled values differ by more, or there is a NaN or an infinity.
    BeyondRounding,
}

/// One layer in two traces.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LayerComparison {
    /// diffusers' name of the module.
    pub module: String,
    /// Its class.
    pub kind: String,
    /// How near the two come.
    pub agreement: Agreement,
    /// Largest difference of a sampled value, in standard deviations of the expected output; `None`
    /// where shapes differ, values are not finite, or the expected output is constant.
    pub largest_in_std: Option<f64>,
    /// What differs beyond rounding, in words.
    pub difference: Option<String>,
}

/// The layers of one stage in two traces.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StageComparison {
    /// The half of the VAE.
    pub stage: Stage,
    /// Layers with identical bits.
    pub identical: usize,
    /// Layers that differ, or may differ, within rounding.
    pub within_rounding: usize,
    /// Layers that differ beyond it.
    pub beyond_rounding: usize,
    /// The first layer that is not known to be identical.
    pub first_not_identical: Option<String>,
    /// The first layer that differs beyond rounding.
    pub first_beyond_rounding: Option<String>,
    /// The layer before it, which agrees; `None` where it is the first.
    pub last_that_agrees: Option<String>,
    /// Modules of the expected trace that the other does not name.
    pub absent: Vec<String>,
    /// The layers that both name, in the order in which modules finish.
    pub layers: Vec<LayerComparison>,
}

impl StageComparison {
    /// Holds `found` against `expected`. `tolerance.atol` is in units of each layer's own standard
    /// deviation, because activations of one model differ in scale by orders of magnitude.
    pub fn new(stage: Stage, expected: &Trace, found: &Trace, tolerance: Tolerance) -> Self {
        let found: HashMap<&str, &Activation> =
            found.iter().map(|activation| (activation.module.as_str(), activation)).collect();
        let mut layers = Vec::new();
        let mut absent = Vec::new();
        for expected in expected {
            match found.get(expected.module.as_str()) {
                Some(found) => layers.push(LayerComparison::new(expected, found, tolerance)),
                None => absent.push(expected.module.clone()),
            }
        }
        let count = |agreement| layers.iter().filter(|layer| layer.agreement == agreement).count();
        let not_identical = layers.iter().find(|layer| layer.agreement != Agreement::Identical);
        let beyond = layers.iter().position(|layer| layer.agreement == Agreement::BeyondRounding);
        let name = |layer: &LayerComparison| layer.module.clone();
        Self {
            stage,
            identical: count(Agreement::Identical),
            within_rounding: count(Agreement::WithinRounding),
            beyond_rounding: count(Agreement::BeyondRounding),
            first_not_identical: not_identical.map(name),
            first_beyond_rounding: beyond.map(|at| name(&layers[at])),
            last_that_agrees: beyond.and_then(|at| at.checked_sub(1)).map(|at| name(&layers[at])),
            absent,
            layers,
        }
    }

    /// The first layer that differs beyond rounding.
    pub fn first_beyond(&self) -> Option<&LayerComparison> {
        self.layers.iter().find(|layer| layer.agreement == Agreement::BeyondRounding)
    }
}

impl LayerComparison {
    fn new(expected: &Activation, found: &Activation, tolerance: Tolerance) -> Self {
        let difference = difference(expected, found, tolerance);
        let agreement = match difference {
            Some(_) => Agreement::BeyondRounding,
            None if identical(expected, found) => Agreement::Identical,
            None => Agreement::WithinRounding,
        };
        Self {
            module: expected.module.clone(),
            kind: expected.kind.clone(),
            agreement,
            largest_in_std: largest_in_std(expected, found),
            difference,
        }
    }
}

/// Equal hashes; and equal samples, lest a hash is believed that is not of these values.
fn identical(expected: &Activation, found: &Activation) -> bool {
    let bits = |samples: &[Option<f32>]| -> Vec<Option<u32>> {
        samples.iter().map(|sample| sample.map(f32::to_bits)).collect()
    };
    expected.sha256.is_some()
        && expected.sha256 == found.sha256
        && bits(&expected.samples) == bits(&found.samples)
}

fn largest_in_std(expected: &Activation, found: &Activation) -> Option<f64> {
    let std = expected.std.filter(|std| *std > 0.0)?;
    if expected.shape != found.shape || expected.samples.len() != found.samples.len() {
        return None;
    }
    let pairs = expected.samples.iter().zip(&found.samples);
    let differences: Option<Vec<f64>> = pairs
        .map(|(expected, found)| Some((f64::from((*found)?) - f64::from((*expected)?)).abs() / std))
        .collect();
    differences?.into_iter().reduce(f64::max)
}

/// What is wrong with `found`, in words, or `None`.
fn difference(expected: &Activation, found: &Activation, tolerance: Tolerance) -> Option<String> {
    if expected.shape != found.shape {
        return Some(format!("shape {:?}, expected {:?}", found.shape, expected.shape));
    }
    // Nothing is within rounding of NaN, not even NaN.
    if expected.non_finite != found.non_finite || found.non_finite > 0 {
        return Some(format!(
            "{} NaNs and infinities, expected {}",
            found.non_finite, expected.non_finite
        ));
    }
    let tolerance = tolerance.in_units_of(expected.std);
    let agrees = |found: Option<f64>, expected: Option<f64>| match (found, expected) {
        (Some(found), Some(expected)) => tolerance.allows_f64(found, expected),
        (found, expected) => found.is_none() && expected.is_none(),
    };
    let wide = |value: Option<f32>| value.map(f64::from);
    if expected.samples.len() != found.samples.len() {
        let (expected, found) = (expected.samples.len(), found.samples.len());
        return Some(format!("{found} sampled values, expected {expected}: nothing to compare"));
    }
    let off = expected
        .samples
        .iter()
        .zip(&found.samples)
        .filter(|(expected, found)| !agrees(wide(**found), wide(**expected)))
        .count();
    if off > 0 {
        return Some(format!("{off} of {} sampled values", expected.samples.len()));
    }
    // Sums over millions of values depend on their order, in f64 too.
    let sums = 1e-9 * expected.std.unwrap_or(0.0).max(f64::MIN_POSITIVE);
    let agrees = |found: Option<f64>, expected: Option<f64>| {
        agrees(found, expected)
            || found.zip(expected).is_some_and(|(found, expected)| (found - expected).abs() <= sums)
    };
    [
        ("mean", found.mean, expected.mean),
        ("standard deviation", found.std, expected.std),
        ("smallest value", wide(found.min), wide(expected.min)),
        ("largest value", wide(found.max), wide(expected.max)),
    ]
    .into_iter()
    .find(|&(_, found, expected)| !agrees(found, expected))
    .map(|(name, found, expected)| format!("{name} {}, expected {}", shown(found), shown(expected)))
}

fn shown(value: Option<f64>) -> String {
    value.map_or("none".into(), |value| format!("{value:.9e}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(module: &str, values: &[f32]) -> Activation {
        Activation::new(module, "Conv2d", &[1, values.len()], values)
    }

    /// A ramp with a standard deviation of 10 or so.
    fn values() -> Vec<f32> {
        (0..36).map(|at| at as f32 + 0.25).collect()
    }

    fn compared(expected: &Trace, found: &Trace) -> StageComparison {
        let tolerance = Tolerance::new(1e-5, 1e-5).unwrap();
        StageComparison::new(Stage::Encode, expected, found, tolerance)
    }

    /// Where no sample is taken, so that only the hash can tell.
    fn unsampled() -> usize {
        let sampled: Vec<usize> =
            vae_fidelity_core::trace::sample_indices(36, vae_fidelity_core::trace::SAMPLES)
                .collect();
        (1..35).find(|at| !sampled.contains(at)).unwrap()
    }

    #[test]
    fn identical_rounding_and_fault_are_told_apart() {
        let mut near = values();
        near[unsampled()] = near[unsampled()].next_up();
        let mut far = values();
        far[7] += 1.0;
        let expected = ["a", "b", "c", "d"].map(|name| layer(name, &values())).to_vec();
        let found =
            vec![layer("a", &values()), layer("b", &near), layer("c", &far), layer("d", &values())];
        let stage = compared(&expected, &found);
        assert_eq!((stage.identical, stage.within_rounding, stage.beyond_rounding), (2, 1, 1));
        assert_eq!(stage.first_not_identical.as_deref(), Some("b"));
        assert_eq!(stage.first_beyond_rounding.as_deref(), Some("c"));
        assert_eq!(stage.last_that_agrees.as_deref(), Some("b"));
        assert_eq!(stage.layers[1].largest_in_std, Some(0.0), "no sample shows it");
    }

    #[test]
    fn one_ulp_in_any_value_is_no_identity() {
        for at in 0..36 {
            let mut near = values();
            near[at] = near[at].next_up();
            let stage = compared(&vec![layer("a", &values())], &vec![layer("a", &near)]);
            assert_eq!(stage.layers[0].agreement, Agreement::WithinRounding, "value {at}");
        }
    }

    #[test]
    fn a_hash_that_is_missing_or_of_other_values_proves_nothing() {
        let with = layer("a", &values());
        let without = Activation { sha256: None, ..with.clone() };
        for (expected, found) in [(&with, &without), (&without, &with), (&without, &without)] {
            let stage = compared(&vec![expected.clone()], &vec![found.clone()]);
            assert_eq!(stage.layers[0].agreement, Agreement::WithinRounding);
        }
        let mut edited = with.clone();
        edited.samples[3] = edited.samples[3].map(f32::next_up);
        let stage = compared(&vec![with], &vec![edited]);
        assert_eq!(stage.layers[0].agreement, Agreement::WithinRounding);
    }

    #[test]
    fn nan_agrees_with_nothing_and_shapes_come_first() {
        let nan: Vec<f32> = values().iter().map(|_| f32::NAN).collect();
        let one = layer("a", &nan);
        let stage = compared(&vec![one.clone()], &vec![one.clone()]);
        assert_eq!(stage.layers[0].agreement, Agreement::BeyondRounding, "{stage:?}");
        assert_eq!(stage.layers[0].largest_in_std, None);
        let expected = vec![layer("a", &values()), layer("only here", &values())];
        let shorter = vec![layer("a", &values()[1..]), layer("elsewhere", &values())];
        let stage = compared(&expected, &shorter);
        assert!(stage.layers[0].difference.as_ref().unwrap().contains("shape [1, 35]"));
        assert_eq!((stage.layers.len(), stage.absent), (1, vec!["only here".to_owned()]));
    }
}

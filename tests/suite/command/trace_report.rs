//! The JSON that `trace` prints: a field more or less fails.

use serde::Deserialize;
use serde_json::Value;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    pub schema_version: u32,
    pub verdict: String,
    pub verdict_reasons: Vec<String>,
    pub input: Value,
    pub model: Value,
    pub posterior: Value,
    pub saved: Option<String>,
    pub encode: Vec<Layer>,
    pub decode: Vec<Layer>,
    pub against: Option<Against>,
    pub notes: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    pub module: String,
    pub kind: String,
    pub shape: Vec<usize>,
    pub sha256: String,
    pub mean: Option<f64>,
    pub std: Option<f64>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub non_finite: usize,
    pub samples: Vec<Option<f64>>,
    pub f16_headroom: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Against {
    pub path: String,
    pub tolerance: Tolerance,
    pub fault: Option<Fault>,
    pub stages: Vec<Stage>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tolerance {
    pub atol: f64,
    pub rtol: f64,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    BrokenHere { block: String, difference: String, broken: Vec<String> },
    Inherited { block: String, broken: Vec<String> },
    CannotTell { reason: String },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    pub stage: String,
    pub identical: usize,
    pub within_rounding: usize,
    pub beyond_rounding: usize,
    pub first_not_identical: Option<String>,
    pub first_beyond_rounding: Option<String>,
    pub last_that_agrees: Option<String>,
    pub absent: Vec<String>,
    pub layers: Vec<Compared>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compared {
    pub module: String,
    pub kind: String,
    pub agreement: String,
    pub largest_in_std: Option<f64>,
    pub difference: Option<String>,
}

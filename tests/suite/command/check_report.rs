//! The JSON that `check` prints, as the design has it: a field more or less fails.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use vae_fidelity::metrics::PixelMetrics;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    pub schema_version: u32,
    pub verdict: String,
    pub verdict_reasons: Vec<String>,
    pub input: Input,
    pub model: Model,
    pub posterior: Posterior,
    pub latents: Latents,
    pub decoded: Decoded,
    pub metrics: Option<PixelMetrics>,
    pub published: Vec<Value>,
    pub thresholds: vae_fidelity::verdict::Thresholds,
    pub findings: Vec<Value>,
    pub latents_file: Option<Value>,
    pub files: Vec<Value>,
    pub not_decided: Vec<Value>,
    pub forecast: Option<Value>,
    pub cross_check: Option<String>,
    pub notes: Vec<String>,
    pub saved: Option<Value>,
    pub timings_ms: BTreeMap<String, f64>,
    pub peak_rss_bytes: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    pub path: String,
    pub path_is_lossy: Option<bool>,
    pub exif_applied: Option<u16>,
    pub format: String,
    pub mode: String,
    pub source_width: usize,
    pub source_height: usize,
    pub width: usize,
    pub height: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    pub source: String,
    pub revision: Option<String>,
    pub class: String,
    pub family: String,
    pub config: Value,
    pub parameters: usize,
    pub device: String,
    pub dtype: String,
    pub arithmetic: String,
    pub engine: String,
    pub tiling: Option<Value>,
    pub slicing: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Posterior {
    pub kind: String,
    pub seed: Option<i128>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latents {
    pub shape: [usize; 4],
    pub scaled_by: Option<f64>,
    pub scaling: Value,
    pub mean: Option<f64>,
    pub std: Option<f64>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub non_finite: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decoded {
    pub path: Option<String>,
    pub shape: [usize; 4],
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub non_finite: usize,
    pub clamped_fraction: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SummaryLine {
    pub schema_version: u32,
    pub summary: Summary,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    pub images: usize,
    pub passed: usize,
    pub failed: usize,
    pub not_judged: usize,
}

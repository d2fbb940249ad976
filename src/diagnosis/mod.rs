//! From evidence to findings: what is wrong with a VAE, and what mends it.

mod non_finite;

use serde::Serialize;
use serde_json::{Map, Value};

pub use non_finite::non_finite_output;

/// One thing that was found, with the numbers that show it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Stable name of the cause, for example `non-finite-output`.
    pub code: &'static str,
    /// Whether it decides the verdict.
    pub severity: Severity,
    /// One line for a reader.
    pub title: String,
    /// diffusers' name of the first module that shows it, where that is known.
    pub layer: Option<String>,
    /// What was measured, by name.
    pub evidence: Map<String, Value>,
    /// What to do about it.
    pub remedy: String,
}

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The VAE, or how it is run, is broken: the verdict is fail.
    Error,
    /// It works here, and may not elsewhere.
    Warning,
    /// Worth knowing.
    Info,
}

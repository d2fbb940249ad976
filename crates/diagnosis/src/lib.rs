//! From evidence to findings: what is wrong with a VAE, and what mends it.
//!
//! Begin with [`diagnose`], which takes the [`Evidence`] of one round trip and gives findings;
//! [`checkpoint_findings`] does so for files that were not run. Every cause has a code and a row that
//! tells what it means, how it is decided and how to fix it.

mod codes;
mod evidence;
mod fit;
mod resampling;
mod changes;
mod input;
mod posterior;
mod round_trip;
mod non_finite;
mod overflow;
mod divergence;
mod cross_check;
mod scaling;
mod latents;
mod preprocessed;
mod seams;
mod tiles;
mod quantisation;
mod picture;
mod rules;
mod weights;
mod releases;

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

pub use codes::{Code, code, codes};
pub use evidence::{Evidence, LatentsScale, Reference, UserFiles};
pub use non_finite::non_finite_output;
pub use overflow::{F16_MAX, F16_WARN, extreme, f16_headroom};
pub use releases::defective_release;
pub use rules::{Diagnosis, NotDecided, diagnose};
pub use weights::{Measured, Misfit, checkpoint_findings};

/// One thing that was found, with the numbers that show it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The VAE, or how it is run, is broken: the verdict is fail.
    Error,
    /// It works here, and may not elsewhere.
    Warning,
    /// Worth knowing.
    Info,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        })
    }
}

impl Finding {
    /// A finding of `code` with the severity and remedy of its row, no layer and no evidence.
    ///
    /// Panics for a name that is no code: findings are made by rules, and a rule without a row is
    /// a bug.
    pub fn new(code: &str, title: impl Into<String>) -> Self {
        let Some(row) = codes::code(code) else { panic!("{code} is not in the table of codes") };
        Self {
            code: row.code,
            severity: row.severity,
            title: title.into(),
            layer: None,
            evidence: Map::new(),
            remedy: row.remedy.to_owned(),
        }
    }

    /// The same, at `layer`.
    pub fn at(mut self, layer: impl Into<String>) -> Self {
        self.layer = Some(layer.into());
        self
    }

    /// The same, with one more measured value. A number that JSON cannot hold becomes `null`.
    pub fn evidence(mut self, name: &str, value: impl Serialize) -> Self {
        self.evidence.insert(name.to_owned(), serde_json::to_value(value).unwrap_or_default());
        self
    }

    /// The same, of another severity than its row says.
    pub fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// The same, with another remedy than its row gives.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }
}

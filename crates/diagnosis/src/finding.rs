//! One finding.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::codes::{Cause, Code};
use super::severity::Severity;

/// One thing that was found, with the numbers that show it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Finding {
    /// Stable name of the cause, for example `non-finite-output`.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub code: Code,
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

impl Finding {
    /// A finding of `cause`, with its severity and remedy, no layer and no evidence.
    pub fn new(cause: &'static Cause, title: impl Into<String>) -> Self {
        Self {
            code: cause.code,
            severity: cause.severity,
            title: title.into(),
            layer: None,
            evidence: Map::new(),
            remedy: cause.remedy.to_owned(),
        }
    }

    /// The same, at `layer`.
    pub fn at(mut self, layer: impl Into<String>) -> Self {
        self.layer = Some(layer.into());
        self
    }

    /// The same, at a layer where there is one to name.
    pub(crate) fn within(self, layer: Option<String>) -> Self {
        Self { layer, ..self }
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

    /// The same as one of two that cannot be told apart: `what`, of `other`, shows the same.
    pub(crate) fn or(self, other: &'static Cause, what: &str) -> Self {
        let title = format!(
            "{}; or ({}) {what}: these two cannot be told apart here",
            self.title, other.code
        );
        let one_of = [self.code, other.code].map(|code| json!({ "code": code.as_str() }));
        let remedy = format!("{}; or {}", self.remedy, other.remedy);
        Self { title, remedy, ..self }.evidence("one_of", one_of)
    }

    /// The same, with another remedy than its row gives.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }
}

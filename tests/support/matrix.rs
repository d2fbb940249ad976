//! What was planted, and what was found.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::collections::BTreeMap;

use serde::Serialize;
use vae_fidelity::diagnosis::{Finding, Severity};

use crate::faults::Fault;

/// Rows of the confusion matrix.
#[derive(Debug, Default, Serialize)]
pub struct Matrix {
    pub planted: Vec<Planted>,
    pub clean: Vec<Clean>,
}

/// One fault in one picture with one model.
#[derive(Debug, Serialize)]
pub struct Planted {
    pub cause: String,
    pub code: String,
    pub strong: bool,
    pub model: String,
    pub picture: String,
    pub found: bool,
    /// Every code that was found, with its severity.
    pub codes: Vec<String>,
}

/// One run without a fault.
#[derive(Debug, Serialize)]
pub struct Clean {
    pub case: String,
    pub picture: String,
    pub errors: Vec<String>,
    pub warnings: Vec<String>,
}

impl Matrix {
    pub fn fault(&mut self, fault: &Fault, model: &str, picture: &str, findings: &[Finding]) {
        self.planted(fault.cause, fault.code, fault.strong, model, picture, findings);
    }

    pub fn planted(
        &mut self,
        cause: &str,
        code: &str,
        strong: bool,
        model: &str,
        picture: &str,
        findings: &[Finding],
    ) {
        self.planted.push(Planted {
            cause: cause.to_owned(),
            code: code.to_owned(),
            strong,
            model: model.to_owned(),
            picture: picture.to_owned(),
            found: findings.iter().any(|finding| finding.code.as_str() == code),
            codes: findings.iter().map(|f| format!("{} ({})", f.code, f.severity)).collect(),
        });
    }

    pub fn clean(&mut self, case: &str, picture: &str, findings: &[Finding]) {
        let of = |severity| {
            let of = findings.iter().filter(|finding| finding.severity == severity);
            of.map(|finding| format!("{}: {}", finding.code, finding.title)).collect()
        };
        self.clean.push(Clean {
            case: case.to_owned(),
            picture: picture.to_owned(),
            errors: of(Severity::Error),
            warnings: of(Severity::Warning),
        });
    }

    /// Strong faults that were not found.
    pub fn missed(&self) -> Vec<&Planted> {
        self.planted.iter().filter(|row| row.strong && !row.found).collect()
    }

    /// Clean runs with an error.
    pub fn false_alarms(&self) -> Vec<&Clean> {
        self.clean.iter().filter(|row| !row.errors.is_empty()).collect()
    }

    /// How many causes were planted at full strength.
    pub fn causes(&self) -> usize {
        let causes: BTreeMap<&str, ()> = self
            .planted
            .iter()
            .filter(|row| row.strong)
            .map(|row| (row.cause.as_str(), ()))
            .collect();
        causes.len()
    }
}

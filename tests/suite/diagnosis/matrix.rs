//! What was planted, and what was found.

use std::collections::BTreeSet;

use serde::Serialize;
use vae_fidelity::diagnosis::{Finding, Severity};

use super::faults::Fault;

/// Models whose weights were trained; those of the others are drawn by a recipe.
const TRAINED: [&str; 2] = ["builtin", "eight-channel"];
/// What is found in drawn weights, and rightly.
const OF_DRAWN_WEIGHTS: [&str; 2] = ["passes-nothing", "weights-untrained"];

/// Rows of the confusion matrix.
#[derive(Debug, Default, Serialize)]
pub struct Matrix {
    pub planted: Vec<Planted>,
    pub clean: Vec<Clean>,
    /// Cause and model of every strong fault that was to be planted.
    #[serde(skip)]
    due: BTreeSet<(String, String)>,
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

    /// Clean runs with an error.
    pub fn false_alarms(&self) -> Vec<&Clean> {
        self.clean.iter().filter(|row| !row.errors.is_empty()).collect()
    }

    /// A strong fault has to show in some picture.
    pub fn due(&mut self, cause: &str, model: &str) {
        self.due.insert((cause.to_owned(), model.to_owned()));
    }

    /// Every strong fault was planted, and found.
    pub fn assert_strong_ones_found(&self) {
        self.assert_strong_ones_planted();
        let missed: Vec<_> = self.planted.iter().filter(|row| row.strong && !row.found).collect();
        assert!(missed.is_empty(), "not found: {missed:#?}");
    }

    /// No strong fault has an error of another code before its own, but for what is true of the model
    /// itself.
    pub fn assert_no_innocent_blamed(&self) {
        let blamed = |row: &&Planted| {
            let errors = row.codes.iter().filter_map(|code| code.strip_suffix(" (error)"));
            let drawn = !TRAINED.contains(&row.model.as_str());
            let mut others = errors.filter(|code| !(drawn && OF_DRAWN_WEIGHTS.contains(code)));
            row.strong && others.next().is_some_and(|first| first != row.code)
        };
        let wrong: Vec<_> = self.planted.iter().filter(blamed).collect();
        assert!(wrong.is_empty(), "another cause was blamed first: {wrong:#?}");
    }

    /// Of a strong fault that no picture shows nothing is known.
    pub fn assert_strong_ones_planted(&self) {
        let planted = |(cause, model): &&(String, String)| {
            self.planted.iter().any(|row| row.strong && row.cause == *cause && row.model == *model)
        };
        let vanished: Vec<_> = self.due.iter().filter(|due| !planted(due)).collect();
        assert!(vanished.is_empty(), "strong faults that planted nothing: {vanished:#?}");
    }
}

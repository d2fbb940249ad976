//! What was planted, and what was found.

use std::collections::BTreeSet;

use serde::Serialize;
use vae_fidelity::diagnosis::{Code, Finding, Severity};

use super::consequences::{CONSEQUENCES, blames_nothing, follows, of_the_model};

/// The share of strong faults at which, once no rule knows them, another cause may be blamed.
pub const UNKNOWN_BLAMED: f64 = 0.02;

/// Rows of the confusion matrix.
#[derive(Debug, Serialize)]
pub struct Matrix {
    pub planted: Vec<Planted>,
    pub clean: Vec<Clean>,
    consequences: &'static [(&'static str, &'static str, &'static str)],
    /// Cause and model of every strong fault that was to be planted.
    due: BTreeSet<(String, String)>,
}

/// One fault in one picture with one model.
#[derive(Debug, Clone, Copy)]
pub struct Injection<'a> {
    pub cause: &'a str,
    pub code: Code,
    /// Whether it is meant to be seen by a person.
    pub strong: bool,
    /// Whether it is, in this picture.
    pub seen: bool,
    /// Whether it is in the weights or config of the model, not in files.
    pub in_weights: bool,
    pub model: &'a str,
    pub picture: &'a str,
}

/// What became of an injection.
#[derive(Debug, Serialize)]
pub struct Planted {
    pub cause: String,
    pub code: String,
    /// Whether it is meant to be seen by a person.
    pub meant: bool,
    /// Whether it is, in this picture too.
    pub strong: bool,
    pub model: String,
    pub picture: String,
    /// Whether its code comes first, but for infos and what is true of the model itself.
    pub first: bool,
    /// Whether a finding of its code is an error.
    pub error: bool,
    /// Whether it comes first and, where strong, is an error; a warning will do for a code that never is
    /// more by itself, and being one of two that cannot be told apart for any.
    pub found: bool,
    /// Whether it is one of two that cannot be told apart.
    pub one_of_two: bool,
    /// Errors of other codes that do not follow from it, with their titles.
    pub wrong: Vec<String>,
    /// Every code that was found, with its severity.
    pub codes: Vec<String>,
    /// Errors that blame something else when no rule knows the code; `None` where that was not tried.
    pub wrong_when_unknown: Option<Vec<String>>,
}

/// One run without a fault.
#[derive(Debug, Serialize)]
pub struct Clean {
    pub case: String,
    pub model: String,
    pub picture: String,
    pub errors: Vec<String>,
    pub warnings: Vec<String>,
}

impl Default for Matrix {
    fn default() -> Self {
        let (planted, clean, due) = (Vec::new(), Vec::new(), BTreeSet::new());
        Self { planted, clean, consequences: &CONSEQUENCES, due }
    }
}

impl Injection<'_> {
    /// Errors of `findings` but for those of which `is_right`.
    fn wrong(&self, findings: &[Finding], is_right: impl Fn(&Finding) -> bool) -> Vec<String> {
        let is_error = |finding: &&Finding| finding.severity == Severity::Error;
        let errors = findings.iter().filter(is_error);
        let others = errors.filter(|finding| {
            !of_the_model(self.model, finding.code.as_str())
                && !follows(self.code.as_str(), self.in_weights, finding.code.as_str())
                && !is_right(finding)
        });
        others.map(|finding| format!("{}: {}", finding.code, finding.title)).collect()
    }
}

/// The two codes that a finding cannot tell apart.
fn one_of(finding: &Finding) -> Vec<&str> {
    let sides = finding.evidence.get("one_of").and_then(|sides| sides.as_array());
    sides.into_iter().flatten().filter_map(|side| side["code"].as_str()).collect()
}

impl Matrix {
    /// Adds what was found of an injection, and what when no rule knew its code.
    pub fn planted(
        &mut self,
        injection: Injection,
        findings: &[Finding],
        when_unknown: Option<&[Finding]>,
    ) {
        let Injection { cause, code, strong: meant, seen, model, picture, .. } = injection;
        let strong = meant && seen;
        let told = |finding: &&Finding| {
            finding.severity != Severity::Info && !of_the_model(model, finding.code.as_str())
        };
        let first = findings.iter().find(told);
        let named = |finding: &Finding| one_of(finding).contains(&code.as_str());
        let is_first = first.is_some_and(|finding| finding.code == code);
        let one_of_two = first.is_some_and(named);
        let as_error = |f: &Finding| f.code == code && f.severity == Severity::Error;
        let error = findings.iter().any(as_error);
        let grave_enough = error || !strong || code.cause().severity == Severity::Warning;
        let wrong_when_unknown = when_unknown.map(|findings| {
            assert!(
                findings.iter().all(|finding| finding.code != code),
                "{cause}: {code} is known"
            );
            injection.wrong(findings, |finding| blames_nothing(finding.code.as_str()))
        });
        self.planted.push(Planted {
            cause: cause.to_owned(),
            code: code.to_string(),
            meant,
            strong,
            model: model.to_owned(),
            picture: picture.to_owned(),
            first: is_first,
            error,
            found: (is_first && grave_enough) || one_of_two,
            one_of_two,
            wrong: injection.wrong(findings, named),
            codes: findings.iter().map(|f| format!("{} ({})", f.code, f.severity)).collect(),
            wrong_when_unknown,
        });
    }

    pub fn clean(&mut self, case: &str, model: &str, picture: &str, findings: &[Finding]) {
        let of = |severity| {
            let of = findings.iter().filter(|finding| finding.severity == severity);
            of.map(|finding| format!("{}: {}", finding.code, finding.title)).collect()
        };
        self.clean.push(Clean {
            case: case.to_owned(),
            model: model.to_owned(),
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

    /// What is meant to be strong; where nobody sees it, it still has to be named.
    fn meant(&self) -> impl Iterator<Item = &Planted> {
        self.planted.iter().filter(|row| row.meant)
    }

    /// Every strong fault was planted and found.
    pub fn assert_strong_ones_found(&self) {
        self.assert_strong_ones_planted();
        assert_found(self.meant());
    }

    /// Every fault that is seen in this picture was found.
    pub fn assert_seen_ones_found(&self) {
        assert_found(self.planted.iter().filter(|row| row.strong));
    }

    /// No strong fault has an error of another cause.
    pub fn assert_no_innocent_blamed(&self) {
        let wrong: Vec<_> = self.meant().filter(|row| !row.wrong.is_empty()).collect();
        assert!(wrong.is_empty(), "another cause was blamed: {wrong:#?}");
    }

    /// Few strong faults that no rule knows have an error of another cause.
    pub fn assert_unknown_ones_pass_unblamed(&self) {
        let tried = self.meant().filter(|row| row.wrong_when_unknown.is_some()).count();
        let blamed =
            |row: &&Planted| row.wrong_when_unknown.as_ref().is_some_and(|wrong| !wrong.is_empty());
        let wrong: Vec<_> = self.meant().filter(blamed).collect();
        let most = (UNKNOWN_BLAMED * tried as f64) as usize;
        assert!(tried > 0 && wrong.len() <= most, "{} of {tried}: {wrong:#?}", wrong.len());
    }

    /// Of a strong fault that no picture shows nothing is known.
    pub fn assert_strong_ones_planted(&self) {
        let planted = |(cause, model): &&(String, String)| {
            self.meant().any(|row| row.cause == *cause && row.model == *model)
        };
        let vanished: Vec<_> = self.due.iter().filter(|due| !planted(due)).collect();
        assert!(vanished.is_empty(), "strong faults that planted nothing: {vanished:#?}");
    }
}

fn assert_found<'a>(planted: impl Iterator<Item = &'a Planted>) {
    let missed: Vec<_> = planted.filter(|row| !row.found).collect();
    assert!(missed.is_empty(), "not found: {missed:#?}");
}

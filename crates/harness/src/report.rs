//! What a run of the suite found: one struct, of which JSON and text are views.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::compare::Comparison;
use super::fault::Location;
use super::manifest::{Case, Origin};

/// Version of the JSON that [`SuiteReport`] serialises to. Fields may be added, none renamed.
pub const SCHEMA_VERSION: u32 = 1;

/// The outcome of every case of a suite.
///
/// Displays as the text for people; serialises as the JSON of `golden verify --json`.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SuiteReport {
    /// Version of this layout: 1.
    pub schema_version: u32,
    /// Folder of the suite.
    pub suite: PathBuf,
    /// Whether no check of any case failed.
    pub passed: bool,
    /// What wrote the goldens.
    pub origin: Origin,
    /// Counts over all cases.
    pub summary: Summary,
    /// The cases that were run, in the order of the manifest.
    pub cases: Vec<CaseReport>,
    /// The cases that were not run.
    pub not_run: Vec<NotRun>,
    /// What else was noticed: files and folders of a candidate's that no case asks for.
    pub notes: Vec<String>,
}

/// Counts over all cases that were run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Summary {
    /// Cases that were run.
    pub cases: usize,
    /// Those with a failed check.
    pub cases_failed: usize,
    /// Cases of the manifest that were not run.
    pub cases_not_run: usize,
    /// Tensors that were judged: bit-identical, within tolerance or failed.
    pub tensors_judged: usize,
    /// Tensors equal in every bit.
    pub tensors_bit_identical: usize,
    /// Tensors with differences that their tolerance allows.
    pub tensors_within_tolerance: usize,
    /// Tensors that failed, or that the implementation failed to give.
    pub tensors_failed: usize,
    /// Tensors that the implementation does not expose, or that had no golden input.
    pub tensors_not_judged: usize,
}

/// A case that was left out, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NotRun {
    /// Name of the case.
    pub case: String,
    /// Why it was not run.
    pub reason: String,
}

/// The checks of one case, in data order.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CaseReport {
    /// Name of the case.
    pub case: String,
    /// The model it runs.
    pub model: String,
    /// What it is there to show.
    pub shows: String,
    /// Whether no check failed.
    pub passed: bool,
    /// Wall-clock time of the case, without loading the model.
    pub seconds: f64,
    /// What was judged.
    pub checks: Vec<Check>,
}

/// One tensor of one case.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Check {
    /// Which step was judged.
    pub tensor: Step,
    /// How it went.
    pub outcome: Outcome,
    /// Why it was not judged, or the error that the implementation gave.
    pub reason: Option<String>,
    /// What a failure looks like, where it has the signature of a known mistake.
    pub looks_like: Option<String>,
    /// The numbers, where there was something to compare.
    pub comparison: Option<Comparison>,
    /// Where in the model a failure arises, for tensors that a model computes.
    pub location: Option<Location>,
    /// Where the tensor of a failed check was saved.
    pub saved: Option<PathBuf>,
    /// The command to run next, for a failed check.
    pub next: Option<String>,
}

/// A step of a case; each starts from the golden result of the step before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The model itself: loading it.
    Load,
    /// Image file to sample, bit for bit.
    Sample,
    /// Golden sample to moments.
    Moments,
    /// Golden sample to the standard deviation, against that of the golden moments.
    Std,
    /// Golden sample (and noise) to scaled latents.
    Latents,
    /// Golden sample to posterior samples with random numbers of the implementation's own: their mean
    /// and variance, for implementations that take no noise.
    #[serde(rename = "draws")]
    PosteriorSamples,
    /// Golden scaled latents, unscaled, to the decoded sample.
    Decoded,
    /// Golden decoded sample to pixels by this crate's conversion, bit for bit.
    DecodedRgb8,
    /// The same by the implementation's own conversion.
    ToRgb8,
    /// The implementation's decoded sample to pixels, within a tolerance of 8-bit values.
    EndToEnd,
}

impl Step {
    /// The name in JSON, in text and in the names of saved files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Sample => "sample",
            Self::Moments => "moments",
            Self::Std => "std",
            Self::Latents => "latents",
            Self::PosteriorSamples => "draws",
            Self::Decoded => "decoded",
            Self::DecodedRgb8 => "decoded_rgb8",
            Self::ToRgb8 => "to_rgb8",
            Self::EndToEnd => "end_to_end",
        }
    }

    /// The files that a candidate may have for it.
    pub(super) fn files(self) -> Vec<String> {
        match self {
            Self::Moments | Self::Latents | Self::Decoded => {
                ["safetensors", "npy"].map(|ending| format!("{}.{ending}", self.name())).into()
            }
            Self::ToRgb8 | Self::EndToEnd => vec!["decoded.png".to_owned()],
            Self::Load | Self::Sample | Self::Std | Self::PosteriorSamples | Self::DecodedRgb8 => {
                Vec::new()
            }
        }
    }
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Equal in every bit.
    BitIdentical,
    /// Not equal, but nearer than the tolerance.
    WithinTolerance,
    /// Not what the golden says.
    Failed,
    /// Neither good nor bad: there was nothing to judge.
    NotJudged,
}

impl Check {
    pub(super) fn not_judged(tensor: Step, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..Self::new(tensor, Outcome::NotJudged) }
    }

    pub(super) fn failed(tensor: Step, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..Self::new(tensor, Outcome::Failed) }
    }

    pub(super) fn compared(tensor: Step, comparison: Comparison) -> Self {
        let outcome = match (comparison.passes(), comparison.bit_identical) {
            (true, true) => Outcome::BitIdentical,
            (true, false) => Outcome::WithinTolerance,
            (false, _) => Outcome::Failed,
        };
        Self { comparison: Some(comparison), ..Self::new(tensor, outcome) }
    }

    /// What was judged by statistics, and agrees.
    pub(super) fn within(tensor: Step, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..Self::new(tensor, Outcome::WithinTolerance) }
    }

    fn new(tensor: Step, outcome: Outcome) -> Self {
        Self {
            tensor,
            outcome,
            reason: None,
            looks_like: None,
            comparison: None,
            location: None,
            saved: None,
            next: None,
        }
    }
}

impl SuiteReport {
    pub(super) fn new(
        suite: PathBuf,
        origin: Origin,
        cases: Vec<CaseReport>,
        not_run: Vec<NotRun>,
    ) -> Self {
        let mut summary = Summary {
            cases: cases.len(),
            cases_failed: cases.iter().filter(|case| !case.passed).count(),
            cases_not_run: not_run.len(),
            ..Summary::default()
        };
        for check in cases.iter().flat_map(|case| &case.checks) {
            let count = match check.outcome {
                Outcome::BitIdentical => &mut summary.tensors_bit_identical,
                Outcome::WithinTolerance => &mut summary.tensors_within_tolerance,
                Outcome::Failed => &mut summary.tensors_failed,
                Outcome::NotJudged => &mut summary.tensors_not_judged,
            };
            *count += 1;
        }
        summary.tensors_judged = summary.tensors_bit_identical
            + summary.tensors_within_tolerance
            + summary.tensors_failed;
        let passed = summary.cases > 0 && summary.cases_failed == 0;
        let notes = Vec::new();
        Self {
            schema_version: SCHEMA_VERSION,
            suite,
            passed,
            origin,
            summary,
            cases,
            not_run,
            notes,
        }
    }

    /// Every failed check with the case it belongs to.
    pub fn failures(&self) -> impl Iterator<Item = (&CaseReport, &Check)> {
        self.cases.iter().flat_map(|case| {
            let failed = case.checks.iter().filter(|check| check.outcome == Outcome::Failed);
            failed.map(move |check| (case, check))
        })
    }

    /// Panics with the whole text of the report unless every case passed; prints the summary if
    /// they did. For tests.
    #[track_caller]
    pub fn assert_pass(&self) {
        assert!(self.passed, "{self}");
        println!("{self}");
    }
}

impl CaseReport {
    pub(super) fn new(case: &Case, checks: Vec<Check>, took: Duration) -> Self {
        Self {
            case: case.name.clone(),
            model: case.model.clone(),
            shows: case.shows.clone(),
            passed: Self::passes(&checks),
            seconds: took.as_secs_f64(),
            checks,
        }
    }

    fn passes(checks: &[Check]) -> bool {
        let judged = checks.iter().any(|check| check.outcome != Outcome::NotJudged);
        judged && checks.iter().all(|check| check.outcome != Outcome::Failed)
    }
}

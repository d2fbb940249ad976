//! The JSON objects that the command prints beside the reports of the library.

use std::path::Path;

use serde::Serialize;

use crate::diagnosis::{Cause, Finding};
use crate::golden::Case;
use crate::report::{CheckSummary, SCHEMA_VERSION};
use crate::{Dtype, verdict::Verdict};

/// Why nothing could be judged.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ErrorReport {
    /// Version of this layout: 1.
    schema_version: u32,
    /// Always `null`: there is no verdict.
    verdict: Option<Verdict>,
    /// What went wrong.
    error: ErrorDetails,
    /// Which picture it was about, where several were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<InputPath>,
    /// What the checkpoint says without running it, where it could not be loaded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Finding>,
}

/// An error: what it is about, and what to do next.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct ErrorDetails {
    /// Which part of a run could not go on, for example `checkpoint`; more may come.
    code: String,
    /// What is wrong, for a reader.
    message: String,
    /// What to do about it.
    next: String,
}

/// A picture that could not be judged.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct InputPath {
    /// The file.
    path: String,
    /// Whether the file's name has bytes that are not UTF-8, for which `path` has U+FFFD; left out
    /// where it has none.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    path_is_lossy: bool,
}

impl ErrorReport {
    pub fn new(code: &str, message: String, next: String, input: Option<&Path>) -> Self {
        let path = |path: &Path| InputPath {
            path: path.to_string_lossy().into_owned(),
            path_is_lossy: path.to_str().is_none(),
        };
        Self {
            schema_version: SCHEMA_VERSION,
            verdict: None,
            error: ErrorDetails { code: code.to_owned(), message, next },
            input: input.map(path),
            findings: Vec::new(),
        }
    }

    /// The same, beside `findings`.
    pub fn with_findings(self, findings: &[Finding]) -> Self {
        Self { findings: findings.to_vec(), ..self }
    }
}

/// What `check` prints last when it was given several pictures.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SummaryReport {
    /// Version of this layout: 1.
    schema_version: u32,
    /// How many pictures passed, failed and could not be judged.
    summary: CheckSummary,
}

impl SummaryReport {
    pub fn new(summary: CheckSummary) -> Self {
        Self { schema_version: SCHEMA_VERSION, summary }
    }
}

/// What `explain` prints.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExplainReport {
    /// Version of this layout: 1.
    schema_version: u32,
    /// Every code, or the one that was asked for.
    codes: Vec<&'static Cause>,
}

impl ExplainReport {
    pub fn new(codes: Vec<&'static Cause>) -> Self {
        Self { schema_version: SCHEMA_VERSION, codes }
    }
}

/// What `golden list` prints.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GoldenList {
    /// Version of this layout: 1.
    schema_version: u32,
    /// The suite's folder.
    suite: String,
    /// The cases, in the order of the manifest.
    cases: Vec<GoldenCase>,
}

/// A case of a suite.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct GoldenCase {
    /// Its name.
    name: String,
    /// The model that it runs.
    model: String,
    /// The file of its picture.
    image: String,
    /// Columns that the picture is encoded at; `null` goes by the picture.
    width: Option<usize>,
    /// Rows that it is encoded at.
    height: Option<usize>,
    /// How latents are taken from the posterior.
    posterior: GoldenPosterior,
    /// The arithmetic.
    dtype: Dtype,
    /// `cpu` or `cuda`.
    device: String,
    /// Whether it goes in tiles.
    tiling: bool,
    /// Whether a batch goes one by one.
    slicing: bool,
    /// Whether the pictures are the frames of one clip.
    clip: bool,
    /// What it is there to show.
    shows: String,
}

/// How a case takes latents from the posterior.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct GoldenPosterior {
    /// `mode` or `sample`.
    kind: &'static str,
    /// What the noise is drawn from; `null` for the mode.
    seed: Option<u64>,
}

impl GoldenList {
    pub fn new(suite: &Path, cases: &[&Case]) -> Self {
        let case = |case: &&Case| GoldenCase {
            name: case.name.clone(),
            model: case.model.clone(),
            image: case.image.clone(),
            width: case.width,
            height: case.height,
            posterior: GoldenPosterior { kind: kind(case), seed: case.posterior.seed },
            dtype: case.dtype,
            device: case.device.clone(),
            tiling: case.tiling.is_some(),
            slicing: case.slicing,
            clip: case.clip,
            shows: case.shows.clone(),
        };
        Self {
            schema_version: SCHEMA_VERSION,
            suite: suite.to_string_lossy().into_owned(),
            cases: cases.iter().map(case).collect(),
        }
    }
}

/// `mode` or `sample`.
pub fn kind(case: &Case) -> &'static str {
    case.posterior.kind.name()
}

/// What `golden export` prints.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExportReport {
    /// Version of this layout: 1.
    pub schema_version: u32,
    /// The folder that was written.
    pub folder: String,
    /// Cases in it.
    pub cases: usize,
    /// Models in it.
    pub models: usize,
    /// Their size.
    pub bytes: u64,
}

//! What `decode` has to say of the latents of one picture.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::check::{Decoded, Model, SavedFile, Timings};
use super::latents_source::LatentsSource;
use crate::diagnosis::{ComparedFile, Finding, Reencoded};
use crate::trace::Statistics;
use crate::verdict::Verdict;

/// The latents of one picture through one decoder: what `decode` prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct DecodeReport {
    /// Version of this layout: 1.
    pub schema_version: u32,
    /// Pass or fail.
    pub verdict: Verdict,
    /// Why it failed; empty for a pass.
    pub verdict_reasons: Vec<String>,
    /// Where the latents lay, and how they were taken; `None` where they come from no file.
    pub latents_file: Option<LatentsSource>,
    /// Which of the latents in the file these are, from 0; left out where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<usize>,
    /// The VAE, and how it ran.
    pub model: Model,
    /// The latents as they were given.
    pub latents: GivenLatents,
    /// The decoded sample, before clamping; `None` where nothing could be decoded.
    pub decoded: Option<Decoded>,
    /// Files that were written beside the decoded picture; left out where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub saved: Vec<SavedFile>,
    /// What becomes of the latents when their picture is encoded again; `None` where nothing could be.
    pub reencoded: Option<Reencoded>,
    /// What was found.
    pub findings: Vec<Finding>,
    /// How far the user's own picture is from the one decoded here; empty where none was given.
    pub files: Vec<ComparedFile>,
    /// What a reader should know beside the numbers.
    pub notes: Vec<String>,
    /// How long the steps took.
    pub timings_ms: DecodeTimings,
    /// Most memory that the process held so far, in bytes; `None` where the system does not say.
    pub peak_rss_bytes: Option<u64>,
}

/// Latents as they were given; statistics cover finite values.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct GivenLatents {
    /// (1, channels, height, width); as in the file where that fits no picture of this VAE.
    pub shape: Vec<usize>,
    /// How they were taken: `scaled` for diffusion, or `raw` as the model makes them.
    pub taken_as: &'static str,
    /// What they were divided by before they were decoded; 1 for raw ones, and `None` for those of a class
    /// that scales otherwise.
    pub divided_by: Option<f64>,
    /// Mean, spread, extremes and how many are not finite.
    #[serde(flatten)]
    pub statistics: Statistics,
}

/// Wall-clock time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct DecodeTimings {
    /// Opening and loading the model; once for all latents of a file.
    pub load: f64,
    /// Unscaling and decoder.
    pub decode: f64,
    /// The rules, which run the VAE again.
    pub diagnose: f64,
    /// These latents from file to file, and loading the model.
    pub total: f64,
}

impl DecodeTimings {
    /// Sets `total` to that of latents which took `row`, beside loading the model.
    pub fn set_total(&mut self, row: Duration) {
        self.total = Timings::after_loading(self.load, row);
    }
}

impl DecodeReport {
    /// Where the picture was written; `None` where there is none.
    pub fn picture(&self) -> Option<&PathBuf> {
        self.decoded.as_ref()?.path.as_ref()
    }
}

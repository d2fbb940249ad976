//! What `probe` has to say of one VAE.

use serde::Serialize;

use super::check::{Model, SavedFile};
use crate::diagnosis::Finding;
use crate::probe::{Judged, Numbers, Trip};
use crate::verdict::Verdict;

/// What one VAE makes of synthetic charts: what `probe` prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ProbeReport {
    /// Version of this layout: 1.
    pub schema_version: u32,
    /// Fail where a bar is missed, something decoded is not finite, or a rule of `check` finds an error.
    pub verdict: Verdict,
    /// Why it failed; empty for a pass.
    pub verdict_reasons: Vec<String>,
    /// The VAE, and how it ran.
    pub model: Model,
    /// Pixels a side of the charts.
    pub size_pixels: usize,
    /// The one number: the least room to a bar in dB, from -60 to 60. Sound VAEs have 6 or more, below 0 a
    /// bar is missed.
    pub score_db: f64,
    /// The number that has the least room, by its name in `numbers`; `None` where nothing was measured.
    pub score_limited_by: Option<String>,
    /// The numbers that have a bar, with the room to it.
    pub judged: Vec<Judged>,
    /// All that was measured.
    pub numbers: Numbers,
    /// Pixels a side of the mosaic: half of `size_pixels`, but 128 at least.
    pub trips_pixels: usize,
    /// The mosaic after each of ten trips.
    pub trips: Vec<Trip>,
    /// What the rules of `check` found in the mosaic's first trip.
    pub findings: Vec<Finding>,
    /// Files that the run wrote.
    pub saved: Vec<SavedFile>,
    /// What a reader should know beside the numbers.
    pub notes: Vec<String>,
    /// How long it took.
    pub timings_ms: ProbeTimings,
    /// Most memory that the process held so far, in bytes; `None` where the system does not say.
    pub peak_rss_bytes: Option<u64>,
}

impl ProbeReport {
    /// Whether a number is worse than any sound VAE had it, be its bar missed or not.
    pub fn is_worse_than_sound(&self) -> bool {
        self.numbers.non_finite > 0 || self.judged.iter().any(Judged::is_worse_than_sound)
    }
}

/// Wall-clock time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ProbeTimings {
    /// Opening and loading the model.
    pub load: f64,
    /// All of it.
    pub total: f64,
}

//! What `check` has to say of one picture.

use std::path::PathBuf;
use std::time::Duration;

use ndarray::Array4;
use serde::Serialize;

use super::clip::ClipReport;
use super::json::{lossy, lossy_option};
use super::latents_source::LatentsSource;
use crate::checkpoint::Checkpoint;
use crate::config::{Class, Family, PublishedQuality, VaeConfig};
use crate::diagnosis::{ComparedFile, Finding, NotDecided};
use crate::dtype::Dtype;
use crate::engine::Execution;
use crate::metrics::{AlphaMetrics, PixelMetrics};
use crate::scaling::Scaling;
use crate::tiling::Splitting;
use crate::trace::Statistics;
use crate::verdict::{Thresholds, Verdict};

/// One image through one VAE: what `check` prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CheckReport {
    /// Version of this layout: 1.
    pub schema_version: u32,
    /// Pass or fail.
    pub verdict: Verdict,
    /// Why it failed; empty for a pass.
    pub verdict_reasons: Vec<String>,
    /// The picture.
    pub input: Input,
    /// The VAE, and how it ran.
    pub model: Model,
    /// How latents were taken from the posterior.
    pub posterior: Posterior,
    /// The scaled latents.
    pub latents: Latents,
    /// The decoded sample, before clamping.
    pub decoded: Decoded,
    /// Files that were written beside the decoded picture; left out where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub saved: Vec<SavedFile>,
    /// The decoded picture beside the one that was encoded; `None` where there is no picture.
    pub metrics: Option<PixelMetrics>,
    /// The same of alpha, which metrics of colours leave out; left out where the VAE is one of RGB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alpha: Option<AlphaMetrics>,
    /// The clip that went through as well; left out where none was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<ClipReport>,
    /// What was published of the VAE's family: context, which decides nothing.
    pub published: &'static [PublishedQuality],
    /// What the user asked for.
    pub thresholds: Thresholds,
    /// What was found.
    pub findings: Vec<Finding>,
    /// Where the user's latents lay, and how they were taken; `None` where none were given.
    pub latents_file: Option<LatentsSource>,
    /// How far each given file is from what this run expects of it; empty where none was given, and
    /// where this VAE gave nothing to hold it against.
    pub files: Vec<ComparedFile>,
    /// Causes that this run could not decide, and the parameters that would let it.
    pub not_decided: Vec<NotDecided>,
    /// What f16 and bf16 would do; `None` where it was not asked for.
    pub forecast: Option<Forecast>,
    /// What was compared by a cross-check; `None` where nothing was.
    pub cross_check: Option<String>,
    /// What a reader should know beside the numbers.
    pub notes: Vec<String>,
    /// How long the steps took.
    pub timings_ms: Timings,
    /// Most memory that the process held so far, in bytes; `None` where the system does not say.
    pub peak_rss_bytes: Option<u64>,
}

/// A file that a run leaves beside the decoded picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct SavedFile {
    /// What is in it: `input`, `latents`, `decoded`, `trace`, `heatmap`, `montage` or `report`.
    pub what: String,
    /// Where it is.
    #[serde(serialize_with = "lossy")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub path: PathBuf,
}

/// The picture that went in.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Input {
    /// The file, or what the caller calls it.
    #[serde(serialize_with = "lossy")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub path: PathBuf,
    /// Whether the file's name has bytes that are not UTF-8, for which `path` has U+FFFD; left out
    /// where it has none.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub path_is_lossy: bool,
    /// Its format by Pillow's name, for example `PNG`; `memory` where it came from no file.
    pub format: String,
    /// Its pixels by Pillow's name of the mode, for example `RGB`.
    pub mode: String,
    /// The EXIF orientation (2 to 8) that was applied before anything else; left out where none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exif_applied: Option<u16>,
    /// Columns in the file, once it is turned.
    pub source_width: usize,
    /// Rows in the file, once it is turned.
    pub source_height: usize,
    /// Columns that the VAE saw.
    pub width: usize,
    /// Rows that the VAE saw.
    pub height: usize,
}

/// The VAE, and how it ran.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Model {
    /// `builtin`, or the folder or file it was loaded from.
    pub source: String,
    /// The commit of a model that comes from a hub; `None` for all others.
    pub revision: Option<String>,
    /// Its class, as diffusers' `_class_name` has it.
    pub class: Class,
    /// The family that its config describes.
    pub family: Family,
    /// Its config, defaults filled in.
    pub config: VaeConfig,
    /// Number of its weights.
    pub parameters: usize,
    /// Where it ran, for example `cpu` or `cuda:0`.
    pub device: String,
    /// The arithmetic it ran in.
    pub dtype: Dtype,
    /// How values of that dtype came about: by arithmetic in it (then its name), or by rounding.
    pub arithmetic: String,
    /// Which implementation ran it.
    pub engine: String,
    /// `tiling`, the sides of tiles or `None`, and `slicing`.
    #[serde(flatten)]
    pub splitting: Splitting,
}

impl Model {
    /// The VAE of `checkpoint`, run as `execution` and `splitting` say.
    pub fn of(checkpoint: &Checkpoint, execution: &Execution, splitting: Splitting) -> Self {
        Self {
            source: checkpoint.source().to_string(),
            revision: checkpoint.revision().map(str::to_owned),
            class: checkpoint.config().class(),
            family: checkpoint.family(),
            config: checkpoint.config().clone(),
            parameters: checkpoint.parameters(),
            device: execution.device().to_string(),
            dtype: execution.dtype(),
            arithmetic: execution.arithmetic(),
            engine: execution.engine().to_string(),
            splitting,
        }
    }
}

/// How latents were taken from the posterior.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Posterior {
    /// Its mode, or a draw; or that there is none.
    pub kind: PosteriorKind,
    /// What the noise was drawn from; `None` for the mode.
    pub seed: Option<i128>,
}

/// Which latents stand for a posterior.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum PosteriorKind {
    /// The most likely ones.
    Mode,
    /// Random ones, with the posterior's mean and spread.
    Sample,
    /// What the encoder gives, in a class without a posterior.
    Deterministic,
}

impl Posterior {
    /// Of a model of `config`, with a draw where there is a seed.
    pub(crate) fn of(config: &VaeConfig, seed: Option<i128>) -> Self {
        let kind = match seed {
            _ if !config.has_posterior() => PosteriorKind::Deterministic,
            Some(_) => PosteriorKind::Sample,
            None => PosteriorKind::Mode,
        };
        Self { kind, seed }
    }
}

/// Scaled latents; statistics cover finite values.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Latents {
    /// (1, channels, height, width).
    pub shape: [usize; 4],
    /// What the model's own latents were multiplied by: its `scaling_factor`; `None` for a class that
    /// scales otherwise.
    pub scaled_by: Option<f64>,
    /// The rule by which the model's own latents became these, with its numbers.
    pub scaling: Scaling,
    /// Mean, spread, extremes and how many are not finite.
    #[serde(flatten)]
    pub statistics: Statistics,
}

/// A decoded sample, before clamping; statistics cover finite values.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Decoded {
    /// Where the picture was written; `None` where there is none.
    #[serde(serialize_with = "lossy_option")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub path: Option<PathBuf>,
    /// (1, 3, height, width).
    pub shape: [usize; 4],
    /// Smallest value; -1 is black.
    pub min: Option<f32>,
    /// Largest value; 1 is white.
    pub max: Option<f32>,
    /// NaNs and infinities.
    pub non_finite: usize,
    /// Share of the finite values outside [-1, 1], from 0 to 1: what the picture cuts off; `None` too where
    /// the model clamps by itself, and nothing is known of it.
    pub clamped_fraction: Option<f64>,
}

impl Decoded {
    /// Measures `sample`; `path` is where the picture went, and `is_clamped` whether the model made it so.
    pub fn of(path: Option<PathBuf>, sample: &Array4<f32>, is_clamped: bool) -> Self {
        let statistics = Statistics::of(sample);
        let finite = sample.len() - statistics.non_finite;
        let outside = sample.iter().filter(|value| value.is_finite() && value.abs() > 1.0).count();
        Self {
            path,
            shape: sample.dim().into(),
            min: statistics.min,
            max: statistics.max,
            non_finite: statistics.non_finite,
            clamped_fraction: (finite > 0 && !is_clamped).then(|| outside as f64 / finite as f64),
        }
    }
}

/// What half precision would do to one picture, from runs in f32.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Forecast {
    /// f16 and bf16.
    pub dtypes: Vec<DtypeForecast>,
    /// The layers that come nearest to the largest f16, the tightest first.
    pub tightest: Vec<Headroom>,
}

/// What one dtype would do: f32 arithmetic with weights and outputs rounded to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct DtypeForecast {
    /// f16 or bf16.
    pub dtype: Dtype,
    /// NaNs and infinities in the decoded sample.
    pub non_finite: usize,
    /// Between its picture and the f32 one; `None` where they are the same, or not finite.
    pub psnr_from_f32_db: Option<f64>,
    /// How much PSNR to the input falls; `None` where it cannot be measured.
    pub psnr_cost_db: Option<f64>,
}

/// How near one layer comes to the largest f16.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Headroom {
    /// diffusers' name.
    pub module: String,
    /// Its largest absolute output in f32.
    pub largest: f32,
    /// 65504 over that: below 1, f16 overflows.
    pub headroom: f32,
}

/// Wall-clock time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Timings {
    /// Opening and loading the model; once for all images.
    pub load: f64,
    /// Encoder, draw and scaling.
    pub encode: f64,
    /// Unscaling and decoder.
    pub decode: f64,
    /// This image from file to file, and loading the model.
    pub total: f64,
}

impl Timings {
    /// `duration` as reports have it: in milliseconds, to the microsecond.
    pub fn milliseconds(duration: Duration) -> f64 {
        // Clocks are not better than a microsecond here.
        (duration.as_secs_f64() * 1e6).round() / 1e3
    }

    /// Sets `total` to that of an image which took `image`, beside loading the model.
    pub fn set_total(&mut self, image: Duration) {
        self.total = Self::after_loading(self.load, image);
    }

    /// Loading took `load` milliseconds, and `rest` what came after it.
    pub(super) fn after_loading(load: f64, rest: Duration) -> f64 {
        Self::milliseconds(Duration::from_secs_f64(load / 1e3) + rest)
    }
}

/// What `check` prints last when it was given several images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct CheckSummary {
    /// Images given.
    pub images: usize,
    /// Judged and passed.
    pub passed: usize,
    /// Judged and failed.
    pub failed: usize,
    /// Those that could not be judged.
    pub not_judged: usize,
}

//! `result.json`: what is said of a data set and its models.

use serde::{Deserialize, Serialize};
use vae_fidelity_files::error::{Error, Result};
use vae_fidelity_perceptual::Net;

use crate::bootstrap::Interval;
use crate::comparison::ModelComparison;
use crate::duplicates::Duplicates;
use crate::error_map::ErrorMap;
use crate::identity::{EngineRecord, MetricWeights};
use crate::latents::LatentSummary;
use crate::metric::Metric;
use crate::protocol::{Average, Protocol};
use crate::spectrum::Spectrum;
use crate::summary::MetricSummary;

/// Of `result.json`.
pub const SCHEMA_VERSION: u32 = 1;

/// What a data set says of models: `result.json`, and a line of `evaluate --json`. Only `run` may differ
/// between two runs of one protocol, data set and models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EvaluationReport {
    /// 1; fields may be added without a change of it.
    pub schema_version: u32,
    /// Whether what was asked for is reached.
    pub verdict: EvaluationVerdict,
    /// Why not; empty where it is.
    pub verdict_reasons: Vec<String>,
    /// How the numbers came about.
    pub protocol: ProtocolRecord,
    /// SHA-256 of the names and lengths of all pictures of the data set, those of other shards too.
    pub data_sha256: String,
    /// SHA-256 of the SHA-256 of each picture that this is about, in their order: two results with the same
    /// one are of the same pictures, byte for byte.
    pub pictures_sha256: String,
    /// How many pictures this is about.
    pub pictures: u64,
    /// How many of them could not be judged, by one model at least.
    pub errors: u64,
    /// The first 20 of those, for each model that could not judge them; `rows.parquet` has all.
    pub failures: Vec<Failure>,
    /// Pictures that are there more than once.
    pub duplicates: Duplicates,
    /// Each model.
    pub models: Vec<ModelResult>,
    /// Each model after the first, held against the first.
    pub comparisons: Vec<ModelComparison>,
    /// How this run went.
    pub run: RunRecord,
}

impl EvaluationReport {
    /// Its model `index`, which `flag` asked for.
    ///
    /// # Errors
    ///
    /// When it has fewer.
    pub fn model(&self, index: usize, flag: &str) -> Result<&ModelResult> {
        self.models.get(index).ok_or_else(|| {
            let problem = format!("expected below {}, found {index}", self.models.len());
            Error::option(flag, problem, "count the result's models from 0")
        })
    }
}

/// Whether what was asked for is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum EvaluationVerdict {
    /// It is, or nothing was asked for.
    Pass,
    /// It is not.
    Fail,
}

impl EvaluationVerdict {
    /// Whether there is no reason against it.
    pub(crate) fn from_reasons(reasons: &[String]) -> Self {
        if reasons.is_empty() { Self::Pass } else { Self::Fail }
    }
}

/// How numbers came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ProtocolRecord {
    /// What the protocol is called.
    pub name: String,
    /// SHA-256 of its choices and of `engine`: results with the same one may be compared.
    pub hash: String,
    /// Every choice.
    pub choices: Protocol,
    /// What computed.
    pub engine: EngineRecord,
    /// The files of weights that metrics have; a metric of the protocol without any was left out.
    #[serde(default)]
    pub metric_weights: Vec<MetricWeights>,
    /// The instructions that SSIMULACRA 2 and Butteraugli are computed with, such as `avx2-fma`; `None` without them.
    #[serde(default)]
    pub metric_instructions: Option<String>,
}

/// A picture that could not be judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Its name in the data set.
    pub id: String,
    /// Which model could not judge it.
    pub model: usize,
    /// Why.
    pub error: String,
}

/// One model over all pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ModelResult {
    /// What the user called it.
    pub source: String,
    /// SHA-256 of its file of weights; of several, of a list of theirs; of weights in no file, of theirs.
    pub weights_sha256: String,
    /// How many pictures it judged.
    pub judged: usize,
    /// In how many of them what came back is what went in, to the last bit of what PSNR is of. They have
    /// no PSNR.
    pub identical: usize,
    /// Each metric.
    pub metrics: Metrics,
    /// Its latents; `None` where no picture was judged.
    pub latents: Option<LatentSummary>,
    /// Energy over frequency; `None` where no picture was judged, or latents are smaller than 8 x 8.
    #[serde(default)]
    pub spectrum: Option<Spectrum>,
    /// Where in the pictures the error lies; `None` where no picture was judged.
    #[serde(default)]
    pub error_map: Option<ErrorMap>,
}

/// The metrics of one model; what no picture has is `None`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "ModelMetrics"))]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// PSNR in dB, over the pictures' own.
    pub psnr_db: Option<MetricSummary>,
    /// PSNR in dB of the mean squared error over all pictures, the other average in use.
    pub psnr_of_mean_mse_db: Option<PsnrOfMeanMse>,
    /// SSIM as the protocol has it.
    pub ssim: Option<MetricSummary>,
    /// MS-SSIM of pictures of 176 pixels a side or more.
    pub ms_ssim: Option<MetricSummary>,
    /// Mean absolute error in 8-bit values.
    pub mae: Option<MetricSummary>,
    /// Largest absolute difference in 8-bit values.
    pub max_abs_diff: Option<MetricSummary>,
    /// Mean squared error in 8-bit values.
    pub mse: Option<MetricSummary>,
    /// SSIMULACRA 2: 100 where nothing differs, 90 where hardly anything is seen, 70 for high quality, 50 for medium.
    #[serde(default)]
    pub ssimulacra2: Option<MetricSummary>,
    /// Butteraugli's distance: 0 where nothing differs, 1 where it can just be seen.
    #[serde(default)]
    pub butteraugli: Option<MetricSummary>,
    /// LPIPS by AlexNet; less is nearer.
    #[serde(default)]
    pub lpips_alex: Option<MetricSummary>,
    /// LPIPS by VGG16.
    #[serde(default)]
    pub lpips_vgg: Option<MetricSummary>,
    /// LPIPS by SqueezeNet.
    #[serde(default)]
    pub lpips_squeeze: Option<MetricSummary>,
    /// DISTS; less is nearer.
    #[serde(default)]
    pub dists: Option<MetricSummary>,
    /// PSNR in dB of what latents turned by 90 degrees decode to, beside pictures turned so.
    #[serde(default)]
    pub rotation_psnr_db: Option<MetricSummary>,
    /// PSNR in dB of what latents at half their size decode to, beside pictures at half theirs.
    #[serde(default)]
    pub scaling_psnr_db: Option<MetricSummary>,
    /// The Fréchet inception distance of all that came back to all that went in.
    #[serde(default)]
    pub rfid: Option<Rfid>,
    /// The kernel inception distance between the same.
    #[serde(default)]
    pub kid: Option<Kid>,
    /// The share of what came back that lies where the originals do, as the network sees them.
    #[serde(default)]
    pub precision: Option<Share>,
    /// The share of the originals that lies where what came back does.
    #[serde(default)]
    pub recall: Option<Share>,
}

/// A distance between two sets of pictures. It says little of few, and is only held against one of as many.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Rfid {
    /// How many pictures what came back has: those that every model judged.
    pub pictures: usize,
    /// The distance.
    pub value: f64,
    /// SHA-256 of the file that it is held against; left out where that is what went in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_sha256: Option<String>,
}

/// A distance between two sets of pictures that does not depend on how many they are, of 1,000 at least: over 100 pairs
/// of subsets, as torch-fidelity draws them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Kid {
    /// How many pictures each of the sets has: those that every model judged.
    pub pictures: usize,
    /// The mean over subsets; it may be a little under 0.
    pub mean: f64,
    /// The deviation between subsets.
    pub std: f64,
}

/// How much of a set of pictures another one covers: what is no further from one of its pictures than the third
/// neighbour of that.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// How many pictures each of the sets has: those that every model judged.
    pub pictures: usize,
    /// In [0, 1].
    pub value: f64,
}

impl Metrics {
    /// One of them over the pictures.
    pub fn summary(&self, metric: Metric) -> Option<&MetricSummary> {
        match metric {
            Metric::Psnr => &self.psnr_db,
            Metric::Ssim => &self.ssim,
            Metric::MsSsim => &self.ms_ssim,
            Metric::Ssimulacra2 => &self.ssimulacra2,
            Metric::Butteraugli => &self.butteraugli,
            Metric::Lpips(Net::Alex) => &self.lpips_alex,
            Metric::Lpips(Net::Vgg) => &self.lpips_vgg,
            Metric::Lpips(Net::Squeeze) => &self.lpips_squeeze,
            Metric::Dists => &self.dists,
            Metric::Rotation => &self.rotation_psnr_db,
            Metric::Scaling => &self.scaling_psnr_db,
        }
        .as_ref()
    }

    /// PSNR in dB, averaged as a protocol says.
    pub(crate) fn averaged_psnr_db(&self, average: Average) -> Option<f64> {
        match average {
            Average::MeanOfPsnr => self.psnr_db.as_ref().map(|of| of.mean),
            Average::PsnrOfMeanMse => self.psnr_of_mean_mse_db.and_then(|of| of.mean),
        }
    }
}

/// A number of all pictures together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PsnrOfMeanMse {
    /// In dB; `None` where nothing differs.
    pub mean: Option<f64>,
    /// Where it lies, by bootstrap; `None` for one picture.
    pub confidence: Option<Interval>,
}

/// How a run went; nothing of it is a result.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// The shards, such as `0/1` for one that is the whole.
    pub shards: Vec<String>,
    /// The data set's path.
    pub data: String,
    /// Seconds since the last start, over all shards.
    pub seconds: f64,
    /// On what kind of machine, such as `linux x86_64`; one for each shard.
    pub machines: Vec<String>,
    /// Which version wrote this.
    pub version: String,
}

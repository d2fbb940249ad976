//! What `explain-gap` says.

use serde::Serialize;

use crate::report::EvaluationVerdict;

/// Which choices make two results differ, and by how much: what `explain-gap --json` prints.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct GapReport {
    /// 1; fields may be added without a change of it.
    pub schema_version: u32,
    /// Whether the sample explains 95 % of the gap of every metric.
    pub verdict: EvaluationVerdict,
    /// Why not; empty where it does.
    pub verdict_reasons: Vec<String>,
    /// The first result.
    pub a: ResultName,
    /// The second result.
    pub b: ResultName,
    /// How many pictures were computed anew.
    pub sampled: u64,
    /// How many more could not be judged in every way, and are left out.
    pub left_out: u64,
    /// Each metric that both results have.
    pub metrics: Vec<MetricGap>,
    /// What a reader has to know.
    pub notes: Vec<String>,
}

/// Which result, and which of its models.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ResultName {
    /// Its protocol.
    pub protocol: String,
    /// The hash of that.
    pub hash: String,
    /// The model.
    pub model: String,
    /// How many pictures it is about.
    pub pictures: u64,
}

/// One metric in two results.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MetricGap {
    /// As the results call it; `psnr_db` is averaged as each protocol says.
    pub metric: String,
    /// The first result's.
    pub a: f64,
    /// The second result's.
    pub b: f64,
    /// `b - a`.
    pub gap: f64,
    /// The first result's, of the sample.
    pub a_of_sample: f64,
    /// The second result's, of the sample.
    pub b_of_sample: f64,
    /// What each choice does, the largest first; together they are the sample's gap.
    pub effects: Vec<Effect>,
    /// `gap` less the sample's: what other pictures, or another engine, do.
    pub not_explained: f64,
    /// The share of `gap` that is explained, at most 1; `None` where there is no gap to speak of.
    pub explained_share: Option<f64>,
}

/// What one choice does.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Effect {
    /// Its name in a protocol's file; or `model`, `pictures`, or `input` for a frame's three together.
    pub choice: String,
    /// What the first result has.
    pub a: String,
    /// What the second result has.
    pub b: String,
    /// How much of the gap it is: the mean of the two orders.
    pub effect: f64,
    /// The lesser of the two: choices may depend on each other.
    pub low: f64,
    /// The greater of the two.
    pub high: f64,
}

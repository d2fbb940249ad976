//! How good a latent autoencoder is on a data set, by a named protocol, the same on any number of machines.
//!
//! A [`DataSet`] lists pictures in folders, tar archives and parquet files, and reads one at a time. A
//! [`Protocol`] is every choice that changes a number. [`evaluate`] sends each picture of a [`Shard`]
//! through each [`Model`], and writes a [`Row`] for each into a folder that it goes on with after a stop;
//! [`merge`] puts folders together. An [`EvaluationReport`] sums them up: means, percentiles, intervals by
//! bootstrap, and what the latents ask for as `scaling_factor` and `shift_factor`.
//!
//! Rows do not depend on each other, and are summed up in the order of the data set: so the result is the
//! same to the bit for any number of shards, in any order, with any number of threads.

// A module uses only those above it.
mod sha256;
mod data;
pub mod protocol;
mod pillow_steps;
mod tensor_resize;
mod prepare;
mod pair;
mod moments;
mod row;
mod metric;
mod columns;
mod error_map;
mod spectrum;
mod maps;
mod rows_file;
mod table_file;
mod channels_file;
mod identity;
mod shard;
mod trained;
mod features;
mod bootstrap;
mod summary;
mod latents;
mod comparison;
mod duplicates;
mod report;
mod text;
mod results;
mod worst;
mod evaluated;
mod folder;
mod model;
mod equivariance;
mod judge;
mod unchanged;
mod workers;
mod evaluate;
mod merge;
mod gap;

pub use bootstrap::{Bootstrap, Interval};
pub use comparison::ModelComparison;
pub use data::{DataSet, Entry, Reader};
pub use duplicates::Duplicates;
pub use error_map::ErrorMap;
pub use evaluate::{EvaluateOptions, Progress, evaluate};
pub use evaluated::Evaluated;
pub use folder::{Folder, lies_in};
pub use gap::{Choice, Effect, GapNets, GapReport, GapSide, MetricGap, ResultName, explain_gap};
pub use identity::{DataIdentity, EngineRecord, Identity, MetricWeights, ModelIdentity};
pub use latents::{ChannelSummary, LatentSummary, Suggestion};
pub use merge::merge;
pub use metric::Metric;
pub use model::Model;
pub use moments::ChannelMoments;
pub use pair::{LpipsDistances, PairMetrics};
pub use prepare::{Prepared, prepare};
pub use protocol::Protocol;
pub use report::{
    EvaluationReport, EvaluationVerdict, Failure, Metrics, ModelResult, ProtocolRecord,
    PsnrOfMeanMse, Rfid, RunRecord, SCHEMA_VERSION,
};
pub use results::Least;
pub use row::Row;
pub use shard::Shard;
pub use spectrum::Spectrum;
pub use summary::{MetricSummary, Percentiles};
pub use table_file::{Column, table_file};
pub use trained::TrainedMetrics;
pub use workers::Workers;
pub use worst::{WORST, WorstPicture};

//! A VAE, loaded and ready to judge pictures: what the commands `check`, `trace` and `probe` do, as functions.

mod step;
mod folder;
mod picture;
mod loaded;
mod builder;
mod clip;
mod check;
mod trace;
mod trace_report;
mod decode;
mod probe;
#[cfg(feature = "evaluate")]
mod evaluate;
#[cfg(feature = "evaluate")]
mod explain_gap;

pub use builder::PipelineBuilder;
pub use check::{CheckOptions, Checked};
pub use clip::CheckedClip;
pub use decode::{DecodeOptions, DecodedLatents, LatentsIn};
#[cfg(feature = "evaluate")]
pub use evaluate::{Evaluation, evaluate};
#[cfg(feature = "evaluate")]
pub use explain_gap::{EvaluatedSide, explain_gap, gap_metrics, read_result};
#[cfg(feature = "cli")]
pub(crate) use folder::pictures_in;
pub use loaded::Pipeline;
pub use picture::Picture;
pub use probe::{ProbeOptions, ProbeRun};
pub use step::Step;
pub use trace::{TraceOptions, Traced};
pub use trace_report::Expected;

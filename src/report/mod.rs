//! What a run has to say, as one value: text, JSON and HTML are views of it.

mod json;
mod memory;
mod latents_source;
mod clip;
mod check;
mod decode;
mod compare;
mod lines;
mod clip_text;
mod text;
mod decode_text;
mod compare_text;
mod inspect;
mod inspect_text;
mod trace;
mod probe;
mod probe_text;
mod html;

pub use check::{
    CheckReport, CheckSummary, Decoded, DtypeForecast, Forecast, Headroom, Input, Latents, Model,
    Posterior, PosteriorKind, SavedFile, Timings,
};
pub use clip::{ClipReport, ClipTensor};
pub use compare::{CompareReport, Compared, ComparedTensor};
pub use decode::{DecodeReport, DecodeTimings, GivenLatents};
pub use html::Illustrations;
#[cfg(feature = "evaluate")]
pub use html::evaluation_page;
pub use inspect::{
    ConfigReport, FamilyReport, FileReport, InspectDifference, InspectReport, ShapeMismatch,
    StoredAs, TensorReport, TensorsReport,
};
pub use json::SCHEMA_VERSION;
pub use latents_source::LatentsSource;
pub use memory::peak_rss_bytes;
pub use probe::{ProbeReport, ProbeTimings};
pub use text::findings_text;
pub use trace::{Against, Layer, TraceReport, non_finite_reasons};

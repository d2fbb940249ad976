//! A VAE, loaded and ready to judge pictures: what the command `check` does, as a function.

mod step;
mod loaded;
mod builder;
mod check;
mod trace;
mod decode;

pub use builder::PipelineBuilder;
pub use check::{CheckOptions, Checked};
pub use decode::{DecodeOptions, DecodedLatents, LatentsIn};
pub use loaded::Pipeline;
pub use step::Step;
pub use trace::{TraceOptions, Traced};

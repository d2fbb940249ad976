//! Traces: the outputs of all modules of a VAE, by diffusers' name.

mod activation;
mod extreme;
mod file;

pub use activation::{Activation, SAMPLES, Stage, Statistics, Trace, sample_indices, sha256_of};
pub use extreme::Extreme;
pub use file::TraceFile;

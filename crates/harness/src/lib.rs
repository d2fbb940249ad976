//! Judges any [`Vae`] against goldens that the reference implementation wrote.
//!
//! ```no_run
//! use vae_fidelity_harness::{Checkpoint, Result, Suite, Vae};
//!
//! # fn my_port(_: &Checkpoint) -> Result<Box<dyn Vae>> { todo!() }
//! # fn main() -> Result<()> {
//! Suite::builtin()?.only("sd-small").run(|checkpoint| my_port(checkpoint))?.assert_pass();
//! # Ok(())
//! # }
//! ```
//!
//! Each step of a case starts from the golden result of the step before it, so that an error is
//! named where it arises. The harness judges what it is given and never repairs it: what an
//! implementation does not expose is "not judged", and counted. Nothing here writes a golden:
//! their only writer is a script that runs the reference itself (`golden/README.md`).

mod blocks;
mod candidate;
mod case_files;
mod checks;
mod compare;
mod evidence;
mod explain;
mod fault;
mod export;
mod image_to_tensor;
mod judge;
mod layers;
mod locate;
mod manifest;
mod progress;
mod posterior;
mod posterior_stats;
mod report;
mod run;
mod run_alone;
mod suite;
mod tensor;
mod text;
mod tolerances;

pub use compare::{Comparison, Criterion, Over, THRESHOLDS, Tolerance, Worst};
pub use export::{ExportSize, TensorFormat};
pub use fault::{Fault, Location};
pub use layers::{Agreement, LayerComparison, StageComparison};
pub use manifest::{Case, CaseTiling, Origin, Posterior, PosteriorKind};
pub use progress::Progress;
pub use report::{CaseReport, Check, NotRun, Outcome, SCHEMA_VERSION, Step, SuiteReport, Summary};
pub use suite::Suite;
pub use tensor::Golden;
pub use tolerances::layer_rounding;

// What an implementation of `Vae` is written with.
pub use vae_fidelity_checkpoint::Checkpoint;
pub use vae_fidelity_core::{
    AutoencoderKLConfig, Dtype, Encoded, Vae, VaeConfig, config, tiling, trace,
};
pub use vae_fidelity_files::{Error, ErrorKind, Result};
pub use vae_fidelity_pixels::Rgb8;

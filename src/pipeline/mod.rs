//! A VAE, loaded and ready to judge pictures: what the command `check` does, as a function.

mod builder;
mod check;
mod trace;

use std::fmt;
use std::time::Duration;

pub use builder::PipelineBuilder;
pub use check::{CheckOptions, Checked};
pub use trace::{TraceOptions, Traced};

use crate::report::Model;
use crate::{Checkpoint, Execution, Vae};

/// A VAE and how it runs.
///
/// ```
/// use vae_fidelity::{Pipeline, verdict::Verdict};
/// let pipeline = Pipeline::builder().repo("builtin").build()?;
/// let report = pipeline.check("golden/images/astronaut.png")?;
/// assert_eq!(report.verdict, Verdict::Pass);
/// assert!(report.metrics.unwrap().psnr_db.unwrap() > 25.0);
/// # Ok::<(), vae_fidelity::Error>(())
/// ```
pub struct Pipeline {
    checkpoint: Checkpoint,
    execution: Execution,
    vae: Box<dyn Vae>,
    model: Model,
    notes: Vec<String>,
    load: Duration,
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").field("model", &self.model).finish_non_exhaustive()
    }
}

impl Pipeline {
    /// Which VAE, and how it runs; the default is the built-in one on the default engine.
    pub fn builder() -> PipelineBuilder {
        PipelineBuilder::default()
    }

    /// The model that runs.
    pub fn vae(&self) -> &dyn Vae {
        self.vae.as_ref()
    }

    /// Where its weights come from.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Which implementation runs it, where, and in which arithmetic.
    pub fn execution(&self) -> &Execution {
        &self.execution
    }

    /// The VAE as reports show it.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// What a reader of every report has to know: which folder was used, which defaults, how the
    /// engine rounds. Sentences without a full stop.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// What a long call is doing; displays as a word or a few, such as `encoding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Step {
    /// The picture is read.
    Opening,
    /// Sample to latents.
    Encoding,
    /// Latents to sample.
    Decoding,
    /// Decoded sample to pixels.
    Judging,
    /// Rules look for what is wrong.
    Diagnosing,
    /// Both halves run again, and every layer's output is recorded.
    Tracing,
    /// Half precision is tried.
    Forecasting,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Opening => "opening",
            Self::Encoding => "encoding",
            Self::Decoding => "decoding",
            Self::Judging => "judging",
            Self::Diagnosing => "diagnosing",
            Self::Tracing => "tracing",
            Self::Forecasting => "forecasting f16 and bf16",
        })
    }
}

//! Loading the VAE that a command judges by.

use crate::pipeline::PipelineBuilder;
use crate::{Pipeline, Result};

use super::cases::Cases;
use super::console::Console;
use super::progress::Progress;

/// The VAE that `builder` describes, and the progress that goes on; `None` where it cannot be loaded, after
/// saying why and what is wrong with its files, and recording it in `cases`.
pub fn loaded(
    builder: PipelineBuilder,
    progress: Progress,
    console: Console,
    cases: &mut Cases,
) -> Result<Option<(Pipeline, Progress)>> {
    progress.step("loading the VAE");
    let builder = builder.cancellation(progress.layers());
    match builder.clone().build() {
        Ok(pipeline) => {
            cases.judged_by(pipeline.model());
            Ok(Some((pipeline, progress)))
        }
        Err(error) => {
            let findings = builder.findings_of_unloaded(&error);
            drop(progress);
            cases.none_judged(&error, &findings);
            console.unloaded(&error, &findings)?;
            Ok(None)
        }
    }
}

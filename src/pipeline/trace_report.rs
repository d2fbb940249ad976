//! A trace as it is reported, beside another one where that is given.

use std::path::{Path, PathBuf};

use super::loaded::Pipeline;
use super::trace::Traced;
use crate::golden::{Suite, Tolerance, layer_rounding};
use crate::report::{Against, Layer, Posterior, SCHEMA_VERSION, TraceReport, non_finite_reasons};
use crate::trace::TraceFile;
use crate::verdict::Verdict;
use crate::{Error, Execution, Result};

/// The trace of another implementation, and how far rounding may lead away from it.
#[derive(Debug, Clone)]
pub struct Expected {
    path: PathBuf,
    trace: TraceFile,
    tolerance: Tolerance,
}

impl Expected {
    /// The trace in the file `path`. Where neither `atol` (in standard deviations of a layer's output) nor
    /// `rtol` is given, rounding is what was measured for the arithmetic and the device of `execution`.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, when a tolerance is no number to compare with, and when neither was
    /// given and nothing was measured.
    pub fn read(
        path: &Path,
        (atol, rtol): (Option<f64>, Option<f64>),
        execution: &Execution,
    ) -> Result<Self> {
        let trace = TraceFile::read(path)?;
        let tolerance = match atol.or(rtol) {
            Some(_) => Tolerance::new(atol.unwrap_or(0.0), rtol.unwrap_or(0.0))?,
            None => measured(execution)?,
        };
        Ok(Self { path: path.to_owned(), trace, tolerance })
    }

    /// The files of a golden suite that are read where layers differ, if the trace is one of its cases'.
    pub fn golden_files(path: &Path) -> Vec<PathBuf> {
        golden_of(path).map(|(suite, _)| suite.files()).unwrap_or_default()
    }
}

/// What counts as rounding where nobody says.
fn measured(execution: &Execution) -> Result<Tolerance> {
    let (device, dtype) = (execution.device().to_string(), execution.dtype());
    let kind = device.split(':').next().unwrap_or_default();
    layer_rounding(dtype, kind)?.ok_or_else(|| {
        Error::option(
            "`against`",
            format!("how {dtype} rounds on {device} was not measured"),
            "say what counts as rounding with `atol` and `rtol`, or run with `device` cpu and `dtype` f32",
        )
    })
}

/// The suite and the case whose trace lies at `path`: there may be whole tensors beside it.
fn golden_of(path: &Path) -> Option<(Suite, String)> {
    let folder = path.parent()?;
    let case = folder.file_name()?.to_str()?;
    let cases = folder.parent().filter(|cases| cases.ends_with("cases"))?;
    // The case may be of a part of the suite, which lies in its folder.
    let folder = cases.parent()?;
    let suite = [Some(folder), folder.parent()]
        .into_iter()
        .flatten()
        .find_map(|folder| Suite::open(folder).ok())?;
    let known = suite.cases().iter().any(|row| row.name == case && row.trace.is_some());
    known.then(|| (suite, case.to_owned()))
}

impl Pipeline {
    /// `traced`, which this VAE gave with the draw of `seed`, as a report: every layer, and how it compares
    /// with the one of `expected`. `notes` come before those of the picture.
    ///
    /// # Errors
    ///
    /// When `expected` names no layer that this VAE has.
    pub fn trace_report(
        &self,
        traced: Traced,
        seed: Option<i128>,
        expected: Option<&Expected>,
        notes: Vec<String>,
    ) -> Result<TraceReport> {
        let found = traced.trace;
        let mut verdict_reasons = non_finite_reasons(&found);
        let compared = |expected: &Expected| {
            let Expected { path, trace, tolerance } = expected;
            Against::new(path.clone(), trace, &found, *tolerance)
        };
        let mut against = expected.map(compared);
        if let Some(against) = &mut against {
            if against.compared() == 0 {
                return Err(Error::tensor(
                    against.path.display(),
                    "names no layer that this VAE has",
                    "name layers as diffusers does, for example encoder.conv_in, or give the VAE it is of",
                ));
            }
            if let (Some(module), Some((suite, case))) =
                (against.first_beyond(), golden_of(&against.path))
            {
                against.fault = Some(suite.fault(&case, module, self.vae())?);
            }
            verdict_reasons.extend(against.reasons());
        }
        Ok(TraceReport {
            schema_version: SCHEMA_VERSION,
            verdict: Verdict::from_reasons(&verdict_reasons),
            verdict_reasons,
            input: traced.input,
            // Layers are those of the whole picture.
            model: self.model().clone(),
            posterior: Posterior::of(self.vae().config(), seed),
            saved: None,
            encode: Layer::of(&found.encode),
            decode: Layer::of(&found.decode),
            against,
            notes: self.notes().iter().cloned().chain(notes).chain(traced.notes).collect(),
        })
    }
}

//! The first module whose output is not the golden's.

use std::path::Path;

use serde::Serialize;

use super::blocks::Fault;
use super::compare::Tolerance;
use super::layers::StageComparison;
use super::manifest::broken;
use vae_fidelity_core::trace::{Stage, Trace, TraceFile};
use vae_fidelity_files::error::Result;

/// `trace.json` of a case, which has both stages.
pub(super) fn read_trace(path: &Path) -> Result<TraceFile> {
    let trace = TraceFile::read(path).map_err(|error| broken(path, error.problem().to_owned()))?;
    if trace.encode.is_empty() || trace.decode.is_empty() {
        return Err(broken(path, "has a stage without modules".into()));
    }
    Ok(trace)
}

/// Where in the model a wrong tensor comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "found", rename_all = "snake_case")]
pub enum Location {
    /// This module's output differs, and no module that finished before it does: the fault is in
    /// it, or in what happens between `after` and it.
    Module {
        /// diffusers' name of the first module that differs.
        module: String,
        /// Its class.
        kind: String,
        /// What differs.
        difference: String,
        /// The last module before it that agrees; `None` where it is the first, so that its input
        /// may be at fault as well.
        after: Option<String>,
        /// The first module of the golden between `after` and `module` that the implementation's
        /// trace does not name: if it has no such module, that is the fault.
        lacks: Option<String>,
        /// Modules of the golden that the implementation's trace does not name.
        absent: usize,
        /// Modules of this stage whose every bit is the golden's.
        identical: usize,
        /// The first module that is not known to be identical.
        first_not_identical: Option<String>,
        /// Whether the module's block is wrong by itself, or was given something wrong.
        fault: Fault,
    },
    /// Every module agrees: the fault lies behind the last one.
    AfterTheLastModule {
        /// The module that finished last.
        module: String,
        /// Modules compared.
        compared: usize,
        /// Modules of the golden that the implementation's trace does not name.
        absent: usize,
    },
    /// There is nothing to look it up in.
    Unknown {
        /// Why not.
        reason: String,
    },
}

/// The first module of `expected`, in the order in which modules finish, that `actual` gives
/// otherwise. `alone` is asked about that module.
pub(super) fn first_divergence(
    stage: Stage,
    expected: &Trace,
    actual: &Trace,
    tolerance: Tolerance,
    alone: impl FnOnce(&str) -> Result<Fault>,
) -> Result<Location> {
    let compared = StageComparison::new(stage, expected, actual, tolerance);
    let Some(last) = compared.layers.last() else {
        let count = expected.len();
        let reason =
            format!("the implementation's trace names none of the golden's {count} modules");
        return Ok(Location::Unknown { reason });
    };
    let absent = compared.absent.len();
    let Some(layer) = compared.first_beyond() else {
        return Ok(Location::AfterTheLastModule {
            module: last.module.clone(),
            compared: compared.layers.len(),
            absent,
        });
    };
    let after = compared.last_that_agrees.clone();
    let mut between = expected
        .iter()
        .map(|golden| &golden.module)
        .skip_while(|name| after.is_some() && Some(*name) != after.as_ref())
        .skip(usize::from(after.is_some()))
        .take_while(|name| **name != layer.module);
    Ok(Location::Module {
        module: layer.module.clone(),
        kind: layer.kind.clone(),
        difference: layer.difference.clone().unwrap_or_default(),
        lacks: between.next().cloned(),
        after,
        absent,
        identical: compared.identical,
        first_not_identical: compared.first_not_identical.clone(),
        fault: alone(&layer.module)?,
    })
}

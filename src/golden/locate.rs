//! The first module whose output is not the golden's.

use serde::Serialize;
use std::collections::HashMap;
use std::path::Path;

use super::compare::Tolerance;
use super::manifest::broken;
use crate::error::Result;
use crate::trace::{Activation, Trace, TraceFile};

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
/// otherwise. `tolerance.atol` is in units of the module's own standard deviation, because
/// activations of one model differ in scale by orders of magnitude.
pub(super) fn first_divergence(expected: &Trace, actual: &Trace, tolerance: Tolerance) -> Location {
    let actual: HashMap<&str, &Activation> =
        actual.iter().map(|activation| (activation.module.as_str(), activation)).collect();
    let pairs: Vec<_> = expected
        .iter()
        .filter_map(|golden| Some((golden, *actual.get(golden.module.as_str())?)))
        .collect();
    let absent = expected.len() - pairs.len();
    let Some((last, _)) = pairs.last() else {
        return Location::Unknown {
            reason: format!(
                "the implementation's trace names none of the golden's {} modules",
                expected.len()
            ),
        };
    };
    for (at, (golden, found)) in pairs.iter().enumerate() {
        if let Some(difference) = difference(golden, found, tolerance) {
            let after = at.checked_sub(1).map(|before| pairs[before].0.module.clone());
            let between = expected
                .iter()
                .map(|golden| &golden.module)
                .skip_while(|name| after.is_some() && Some(*name) != after.as_ref())
                .skip(usize::from(after.is_some()))
                .take_while(|name| **name != golden.module);
            return Location::Module {
                module: golden.module.clone(),
                kind: golden.kind.clone(),
                difference,
                lacks: between.into_iter().next().cloned(),
                after,
                absent,
            };
        }
    }
    Location::AfterTheLastModule { module: last.module.clone(), compared: pairs.len(), absent }
}

/// What is wrong with `found`, in words, or `None`.
fn difference(golden: &Activation, found: &Activation, tolerance: Tolerance) -> Option<String> {
    if golden.shape != found.shape {
        return Some(format!("shape {:?}, expected {:?}", found.shape, golden.shape));
    }
    if golden.non_finite != found.non_finite {
        return Some(format!(
            "{} NaNs and infinities, expected {}",
            found.non_finite, golden.non_finite
        ));
    }
    let atol = tolerance.atol() * golden.std.unwrap_or(0.0);
    let near =
        |found: f64, golden: f64| (found - golden).abs() <= atol + tolerance.rtol() * golden.abs();
    let agrees = |found: Option<f64>, golden: Option<f64>| match (found, golden) {
        (Some(found), Some(golden)) => near(found, golden),
        (found, golden) => found.is_none() && golden.is_none(),
    };
    let wide = |value: Option<f32>| value.map(f64::from);
    let off = golden
        .samples
        .iter()
        .zip(&found.samples)
        .filter(|(golden, found)| !agrees(wide(**found), wide(**golden)))
        .count();
    if off > 0 || golden.samples.len() != found.samples.len() {
        return Some(format!("{off} of {} sampled values", golden.samples.len()));
    }
    // Sums over millions of values depend on their order, in f64 too.
    let sums = 1e-9 * golden.std.unwrap_or(0.0).max(f64::MIN_POSITIVE);
    let agrees = |found: Option<f64>, golden: Option<f64>| {
        agrees(found, golden)
            || found.zip(golden).is_some_and(|(found, golden)| (found - golden).abs() <= sums)
    };
    [
        ("mean", found.mean, golden.mean),
        ("standard deviation", found.std, golden.std),
        ("smallest value", wide(found.min), wide(golden.min)),
        ("largest value", wide(found.max), wide(golden.max)),
    ]
    .into_iter()
    .find(|&(_, found, golden)| !agrees(found, golden))
    .map(|(name, found, golden)| format!("{name} {}, expected {}", shown(found), shown(golden)))
}

fn shown(value: Option<f64>) -> String {
    value.map_or("none".into(), |value| format!("{value:.9e}"))
}

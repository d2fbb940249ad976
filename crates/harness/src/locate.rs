//! The first module whose output is not the golden's.

use super::compare::Tolerance;
use super::fault::{Fault, Location};
use super::layers::StageComparison;
use vae_fidelity_core::trace::{Stage, Trace};
use vae_fidelity_files::error::Result;

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

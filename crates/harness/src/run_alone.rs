//! A block of an implementation, run alone on what the reference gave it.

use super::case_files::CaseFiles;
use super::fault::Fault;
use super::manifest::Case;
use super::suite::Suite;
use vae_fidelity_core::vae::Vae;
use vae_fidelity_files::error::{Error, ErrorKind, Result};

impl Suite {
    /// Why a block of this case cannot be run alone, and which case to run for that.
    pub(super) fn who_has_blocks(&self, case: &Case) -> String {
        let others = self.cases().iter();
        let kept = others.filter(|other| other.model == case.model && other.blocks.is_some());
        let names: Vec<&str> = kept.map(|other| other.name.as_str()).collect();
        match names.as_slice() {
            [] => format!("no case of {} keeps whole tensors between blocks", case.model),
            names => format!(
                "this case keeps no whole tensors between blocks: see {} of the same model",
                names.join(", ")
            ),
        }
    }

    /// Whether the block that `module` of case `case` belongs to is wrong by itself in `vae`, or was
    /// given something wrong if its output is: the block is run alone on what the reference gave it.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no such case, if the case has no such module, or if the suite is
    /// broken.
    pub fn fault(&self, case: &str, module: &str, vae: &dyn Vae) -> Result<Fault> {
        let unknown = |problem: &str, next: &str| {
            Error::new(ErrorKind::Golden, format!("{case}: {module}"), problem, next)
        };
        let found = self.cases().iter().find(|one| one.name == case);
        let row = found.ok_or_else(|| unknown("no case has this name", "see golden list"))?;
        let Some(blocks) = CaseFiles::read(row)?.blocks else {
            return Ok(Fault::CannotTell { reason: self.who_has_blocks(row) });
        };
        let stage = blocks.stage_of(module).ok_or_else(|| {
            unknown("no block of the case has this module", "name it as diffusers does")
        })?;
        Ok(blocks.fault(vae, stage, module, self.trace_tolerance(row)?))
    }
}

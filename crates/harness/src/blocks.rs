//! Whole tensors between the blocks of a small model, and what an implementation's blocks make of
//! them when each is run alone.

use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};
use std::path::Path;

use ndarray::ArrayD;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::case_files::CaseFiles;
use super::compare::Tolerance;
use super::manifest::{BlockRow, BlocksRow, Case, broken};
use super::suite::{Suite, with_next};
use vae_fidelity_core::tensor_file::{Stored, from_safetensors};
use vae_fidelity_core::trace::{Stage, Statistics};
use vae_fidelity_core::vae::Vae;
use vae_fidelity_files::error::{Error, ErrorKind, Result};
use vae_fidelity_files::input;

/// Whether a block whose output is wrong is wrong itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Fault {
    /// Run alone on what the reference gave it, the block puts out something else.
    BrokenHere {
        /// diffusers' name of the block that was run: the smallest that holds the module.
        block: String,
        /// What differs.
        difference: String,
        /// Every block of the same half that is wrong when run alone, without those that are only
        /// because a block inside them is.
        broken: Vec<String>,
    },
    /// Run alone on what the reference gave it, the block puts out what the reference does: what the
    /// implementation gave it was wrong.
    Inherited {
        /// diffusers' name of the block that was run.
        block: String,
        /// As above. Where it is empty, the fault lies between blocks: in what the first is fed, or
        /// in an activation.
        broken: Vec<String>,
    },
    /// No block was run alone.
    CannotTell {
        /// Why not.
        reason: String,
    },
}

/// The whole tensors of one case.
#[derive(Debug)]
pub(super) struct Blocks {
    row: BlocksRow,
    tensors: HashMap<String, ArrayD<f32>>,
}

impl Blocks {
    /// Fails if the file is missing or has another hash than in the manifest, lacks a tensor of the
    /// manifest, or has one that is not f32 or not finite.
    pub fn read(folder: &Path, row: &BlocksRow) -> Result<Self> {
        let path = folder.join(&row.file);
        let bytes = input::read_bytes(&path).map_err(|problem| broken(&path, problem))?;
        let hash: String =
            Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        if hash != row.sha256 {
            return Err(broken(&path, "not the file that the manifest hashed".to_owned()));
        }
        let mut tensors = HashMap::new();
        let read = from_safetensors(&path, &bytes);
        for tensor in read.map_err(|error| broken(&path, error.problem().to_owned()))? {
            let name = tensor.name.unwrap_or_default();
            if tensor.stored != Stored::F32 || tensor.values.iter().any(|v| !v.is_finite()) {
                return Err(broken(&path, format!("{name}: expected finite f32 values")));
            }
            tensors.insert(name, tensor.values);
        }
        for name in row.encode.iter().chain(&row.decode).flat_map(|row| [&row.input, &row.output]) {
            if !tensors.contains_key(name) {
                return Err(broken(&path, format!("holds no tensor {name}")));
            }
        }
        Ok(Self { row: row.clone(), tensors })
    }

    /// Every tensor, by name.
    pub fn tensors(&self) -> &HashMap<String, ArrayD<f32>> {
        &self.tensors
    }

    /// The half that has `module` in one of its blocks.
    pub fn stage_of(&self, module: &str) -> Option<Stage> {
        [Stage::Encode, Stage::Decode]
            .into_iter()
            .find(|&stage| self.holding(stage, module).is_some())
    }

    /// Runs the block of `module` alone in `vae`, and then the other blocks of `stage`, each on what
    /// the reference gave it. `tolerance.atol` is in standard deviations of a block's output.
    pub fn fault(&self, vae: &dyn Vae, stage: Stage, module: &str, tolerance: Tolerance) -> Fault {
        let Some(block) = self.holding(stage, module) else {
            let reason = format!("no block that is kept whole holds {module}");
            return Fault::CannotTell { reason };
        };
        let verdict = match self.alone(vae, block, tolerance) {
            Err(reason) => return Fault::CannotTell { reason },
            Ok(verdict) => verdict,
        };
        let wrong: Vec<&str> = self
            .row
            .stage(stage)
            .iter()
            .filter(|row| matches!(self.alone(vae, row, tolerance), Ok(Some(_))))
            .map(|row| row.module.as_str())
            .collect();
        let innermost = |outer: &&str| !wrong.iter().any(|inner| inside(inner, outer));
        let broken = wrong.iter().filter(|name| innermost(name)).map(ToString::to_string).collect();
        let block = block.module.clone();
        match verdict {
            Some(difference) => Fault::BrokenHere { block, difference, broken },
            None => Fault::Inherited { block, broken },
        }
    }

    /// The smallest block of `stage` that is or holds `module`.
    fn holding(&self, stage: Stage, module: &str) -> Option<&BlockRow> {
        let holds = |row: &&BlockRow| row.module == module || inside(module, &row.module);
        self.row.stage(stage).iter().filter(holds).max_by_key(|row| row.module.len())
    }

    /// What is wrong with the output of a block that is given the reference's input, or `None`; the
    /// error says why it was not run.
    fn alone(
        &self,
        vae: &dyn Vae,
        row: &BlockRow,
        tolerance: Tolerance,
    ) -> std::result::Result<Option<String>, String> {
        let name = &row.module;
        let [input, expected] = [&row.input, &row.output].map(|name| &self.tensors[name]);
        match vae.forward_module(name, input.view()) {
            None => Err(format!("the implementation does not run {name} alone")),
            Some(Err(error)) => Err(format!("running {name} alone failed: {}", with_next(&error))),
            Some(Ok(found)) => Ok(difference(expected, &found, tolerance)),
        }
    }
}

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
        let Some(blocks) = CaseFiles::read(self.folder(), row)?.blocks else {
            return Ok(Fault::CannotTell { reason: self.who_has_blocks(row) });
        };
        let stage = blocks.stage_of(module).ok_or_else(|| {
            unknown("no block of the case has this module", "name it as diffusers does")
        })?;
        Ok(blocks.fault(vae, stage, module, self.trace_tolerance(row)?))
    }
}

/// Whether module `inner` is a part of `outer`.
fn inside(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'))
}

fn difference(expected: &ArrayD<f32>, found: &ArrayD<f32>, tolerance: Tolerance) -> Option<String> {
    if expected.shape() != found.shape() {
        return Some(format!("shape {:?}, expected {:?}", found.shape(), expected.shape()));
    }
    let std = Statistics::of(expected).std.unwrap_or(0.0);
    let mut off = 0;
    let mut largest = 0.0_f64;
    for (&found, &expected) in found.iter().zip(expected) {
        let (found, expected) = (f64::from(found), f64::from(expected));
        let gap = (found - expected).abs();
        // Not `gap > allowed`, which NaN never is.
        let within = gap <= tolerance.atol() * std + tolerance.rtol() * expected.abs();
        off += usize::from(!within);
        largest = if gap <= largest { largest } else { gap };
    }
    (off > 0).then(|| {
        let values = expected.len();
        format!(
            "{off} of {values} values, by up to {:.2e} of its standard deviation",
            largest / std
        )
    })
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let others = |block: &str, broken: &[String]| -> Vec<String> {
            broken.iter().filter(|name| *name != block).cloned().collect()
        };
        match self {
            Self::BrokenHere { block, difference, broken } => {
                write!(
                    f,
                    "broken here: {block}, run alone on the reference's input, is wrong in "
                )?;
                f.write_str(difference)?;
                match others(block, broken).as_slice() {
                    [] => write!(f, "; every other block of this half is right alone"),
                    others => write!(f, "; so is {}", others.join(", ")),
                }
            }
            Self::Inherited { block, broken } => {
                write!(f, "inherited: {block}, run alone on the reference's input, is right; ")?;
                match broken.as_slice() {
                    [] => f.write_str(
                        "so is every block of this half, so look at what is done before and between them",
                    ),
                    broken => write!(f, "broken alone: {}", broken.join(", ")),
                }
            }
            Self::CannotTell { reason } => {
                write!(f, "cannot tell whether it is broken here or inherited: {reason}")
            }
        }
    }
}

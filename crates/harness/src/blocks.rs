//! Whole tensors between the blocks of a small model, and what an implementation's blocks make of
//! them when each is run alone.

use std::collections::HashMap;
use std::path::Path;

use ndarray::ArrayD;
use sha2::{Digest, Sha256};

use super::compare::Tolerance;
use super::fault::Fault;
use super::manifest::{BlockRow, BlocksRow, broken};
use vae_fidelity_core::ElementType;
use vae_fidelity_core::metrics::Pairs;
use vae_fidelity_core::tensor_file::from_safetensors;
use vae_fidelity_core::trace::{Stage, Statistics};
use vae_fidelity_core::vae::Vae;
use vae_fidelity_files::error::Result;
use vae_fidelity_files::input;

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
        let bytes = input::read_bytes(&path, input::MAX_TENSOR_BYTES)
            .map_err(|problem| broken(&path, problem))?;
        let hash: String =
            Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        if hash != row.sha256 {
            return Err(broken(&path, "not the file that the manifest hashed".to_owned()));
        }
        let mut tensors = HashMap::new();
        let read = from_safetensors(&path, &bytes);
        for tensor in read.map_err(|error| broken(&path, error.problem().to_owned()))? {
            let name = tensor.name.unwrap_or_default();
            if tensor.stored != ElementType::F32 || tensor.values.iter().any(|v| !v.is_finite()) {
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
            Some(Err(error)) => Err(format!("running {name} alone failed: {}", error.with_next())),
            Some(Ok(found)) => Ok(difference(expected, &found, tolerance)),
        }
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
    let std = Statistics::of(expected).std;
    let tolerance = tolerance.in_units_of(std);
    let mut pairs = Pairs::new([]);
    let mut off = 0;
    for (at, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        pairs.add(at, f64::from(found), f64::from(expected));
        off += usize::from(!tolerance.allows(found, expected));
    }
    let largest = pairs.largest.map_or(f64::NAN, |(largest, _)| largest);
    (off > 0).then(|| {
        let values = expected.len();
        format!(
            "{off} of {values} values, by up to {:.2e} of its standard deviation",
            largest / std.unwrap_or(0.0)
        )
    })
}

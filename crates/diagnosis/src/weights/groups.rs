//! Weights of few values: quantised in groups, and stored as if they were not.

use super::naming::{counted, layer, named};
use super::values::Measured;
use crate::codes::{Cause, Code};
use crate::decided_by::DecidedBy;
use crate::finding::Finding;
use crate::severity::Severity;
use vae_fidelity_checkpoint::{Contents, Grid};

pub(crate) const WEIGHTS_QUANTISED: Cause = Cause {
    code: Code::WeightsQuantised,
    severity: Severity::Warning,
    title: "weights were quantised in groups",
    meaning: "Some tools quantise all that they convert to 3 or 4 bits for each group of weights. A \
              VAE is small and shows it: fine texture goes first, then flat areas become uneven.",
    rule: "In half of the large layers or more, each group of 64 values (or 128, 256) that is looked \
           at has at most 16 different ones, or groups of 32 have at most 16 that lie at equal steps. \
           8-bit floats have more.",
    remedy: "take the VAE in f16, bf16 or f32, and leave it out when quantising",
    diffusers: "quantise the transformer or U-Net alone, not the vae",
    comfyui: "load an unquantised VAE with Load VAE",
    ports: "exclude the VAE's layers from quantisation",
    sources: &["filipstrand/mflux#436"],
    decided_by: &[DecidedBy::Inspect, DecidedBy::Check],
};

/// A layer of fewer values is not worth quantising.
const LEAST: usize = 4096;

/// `weights-quantised`.
pub(super) fn quantised(contents: &Contents, tensors: &[Measured]) -> Option<Finding> {
    let large: Vec<&Measured> = tensors
        .iter()
        .filter(|t| t.info.shape.len() >= 2 && t.info.name.ends_with(".weight"))
        .filter(|t| t.statistics.is_some_and(|s| s.values >= LEAST && s.non_finite == 0))
        .filter(|t| t.statistics.is_some_and(|s| !s.constant))
        .collect();
    let found: Vec<(&str, Grid)> = large
        .iter()
        .filter_map(|t| {
            let name = t.info.name.as_str();
            Some((name, Grid::of(&contents.read(name)?)?))
        })
        .collect();
    let (first, grid) = found.first()?;
    if found.len() * 2 < large.len() {
        return None;
    }
    let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
    let levels = found.iter().map(|(_, grid)| grid.levels).max().unwrap_or(grid.levels);
    let title = format!(
        "at most {levels} different values in each group of {}, in {}: quantised to {} bits",
        grid.group,
        counted(&names, "tensor"),
        levels.max(2).next_power_of_two().trailing_zeros()
    );
    let finding = named(&WEIGHTS_QUANTISED, title, &names).at(layer(first));
    Some(finding.evidence("group", grid.group).evidence("levels", levels))
}

//! What the goldens hold of one case.

use std::path::Path;

use ndarray::Axis;

use super::blocks::Blocks;
use super::manifest::{Case, broken};
use super::posterior::{LOGVAR_RANGE, std_of, widest_logvar};
use super::tensor::Golden;
use vae_fidelity_core::trace::TraceFile;
use vae_fidelity_files::error::Result;

/// The golden tensors of one case.
pub(super) struct CaseFiles {
    pub sample: Golden,
    /// None in a class without a posterior.
    pub moments: Option<Golden>,
    pub latents: Golden,
    pub noise: Option<Golden>,
    pub decoded: Golden,
    pub decoded_rgb8: Option<Golden>,
    pub trace: Option<TraceFile>,
    pub blocks: Option<Blocks>,
}

impl CaseFiles {
    /// Reads all of them; an error is about the suite.
    pub fn read(case: &Case) -> Result<Self> {
        let folder = case.folder();
        let read = |name: &str| {
            case.tensors.get(name).map(|row| Golden::read(&folder, name, row)).transpose()
        };
        let needed = |name: &str| Golden::read(&folder, name, &case.tensors[name]);
        Ok(Self {
            sample: needed("sample")?,
            moments: read("moments")?,
            latents: needed("latents")?,
            noise: read("noise")?,
            decoded: needed("decoded")?,
            decoded_rgb8: read("decoded_rgb8")?,
            trace: case.trace.as_ref().map(|file| read_trace(&folder.join(file))).transpose()?,
            blocks: case.blocks.as_ref().map(|row| Blocks::read(&folder, row)).transpose()?,
        })
    }

    /// The standard deviation that the golden moments stand for, where all of them are kept.
    pub fn std(&self) -> Option<Golden> {
        let moments = self.moments.as_ref()?.array()?;
        let (_, logvar) = moments.view().split_at(Axis(1), moments.dim().1 / 2);
        Some(Golden::derived("std", &std_of(logvar)))
    }

    /// The largest magnitude of a clamped log-variance; what it can be, where moments are a hash.
    pub fn widest_logvar(&self) -> f64 {
        let Some(moments) = self.moments.as_ref().and_then(Golden::array) else {
            return f64::from(LOGVAR_RANGE.0.abs());
        };
        let (_, logvar) = moments.view().split_at(Axis(1), moments.dim().1 / 2);
        widest_logvar(logvar.iter().copied())
    }
}

/// `trace.json` of a case, which has both stages.
fn read_trace(path: &Path) -> Result<TraceFile> {
    let trace = TraceFile::read(path).map_err(|error| broken(path, error.problem().to_owned()))?;
    if trace.encode.is_empty() || trace.decode.is_empty() {
        return Err(broken(path, "has a stage without modules".into()));
    }
    Ok(trace)
}

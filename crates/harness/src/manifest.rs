//! `manifest.json`: which cases there are and where their tensors lie.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use vae_fidelity_core::config::VaeConfig;
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::element_type::ElementType;
use vae_fidelity_core::json_problem;
use vae_fidelity_core::tiling::Splitting;
use vae_fidelity_core::trace::Stage;
use vae_fidelity_files::error::{Error, ErrorKind, Result};
use vae_fidelity_files::input;

const SCHEMA_VERSION: u32 = 1;
const WRITE_AGAIN: &str = "take the folder golden anew from this crate's sources (git checkout golden), or name another with `golden`";

/// What wrote the goldens, and a row per case.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Manifest {
    schema_version: u32,
    #[serde(flatten)]
    pub origin: Origin,
    /// Name of the file of tolerances beside the manifest.
    pub tolerances: String,
    pub cases: Vec<Case>,
}

/// What the bits of the goldens depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Origin {
    /// SHA-256 of the reference script that made them.
    pub gist_sha256: String,
    /// Versions of Python, torch, diffusers, Pillow and numpy.
    pub versions: BTreeMap<String, String>,
    /// torch's name for the vector instructions in use, for example `AVX2`.
    pub cpu_capability: String,
    /// The processor's name.
    #[serde(default)]
    pub processor: Option<String>,
    /// Threads that torch ran with.
    pub threads: usize,
}

/// One golden: a picture that went through a model in one way.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Case {
    /// Name of the case and of its folder.
    pub name: String,
    /// What the case is there to show.
    pub shows: String,
    /// Name of a folder in `models/`, or `builtin`.
    pub model: String,
    /// Name of a file in `images/`.
    pub image: String,
    /// The reference script's `--width`; `None` rounds that of the picture down.
    pub width: Option<usize>,
    /// The reference script's `--height`.
    pub height: Option<usize>,
    /// Mode or draw.
    pub posterior: Posterior,
    /// The arithmetic of the reference script's run.
    pub dtype: Dtype,
    /// The device that the case is for; the reference script ran on the CPU.
    pub device: String,
    /// diffusers' `enable_tiling()` was called.
    pub tiling: Option<CaseTiling>,
    /// diffusers' `enable_slicing()` was called.
    #[serde(default)]
    pub slicing: bool,
    /// Names of files in `images/` that follow `image` in one batch.
    #[serde(default)]
    pub batch: Vec<String>,
    /// The pictures are the frames of one clip, in place of a batch.
    #[serde(default)]
    pub clip: bool,
    /// File with the outputs of every module, where the case has one.
    pub trace: Option<String>,
    /// Whole tensors between blocks, where the case has them.
    #[serde(default)]
    pub(super) blocks: Option<BlocksRow>,
    pub(super) tensors: BTreeMap<String, TensorRow>,
    /// The folder of the manifest that lists it.
    #[serde(skip)]
    pub(super) suite: PathBuf,
}

impl Case {
    /// Whether its pictures are opened in RGBA, and its sample has a fourth channel.
    pub fn has_alpha(&self) -> bool {
        self.tensors.get("sample").is_some_and(|row| row.shape.get(1) == Some(&4))
    }
}

/// Tiling as a case has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseTiling {
    /// Side of a tile in pixels; `None` is the config's `sample_size`.
    pub tile_sample_min_size: Option<usize>,
}

/// How latents were taken from the posterior.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Posterior {
    /// Mode or draw.
    pub kind: PosteriorKind,
    /// The reference script's `--seed`, for a posterior sample.
    pub seed: Option<u64>,
}

/// Mode or draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PosteriorKind {
    /// The reference script without `--sample`.
    Mode,
    /// The reference script with `--sample`; the noise is part of the golden.
    Sample,
    /// What the encoder gives, in a class without a posterior.
    Deterministic,
}

impl PosteriorKind {
    /// As the manifest and JSON have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mode => "mode",
            Self::Sample => "sample",
            Self::Deterministic => "deterministic",
        }
    }
}

/// Which file has the whole tensors between blocks, and which block was given which.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct BlocksRow {
    pub file: String,
    /// Of the file.
    pub sha256: String,
    pub encode: Vec<BlockRow>,
    pub decode: Vec<BlockRow>,
}

/// One block: diffusers' name of its module, and the names of two tensors in the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct BlockRow {
    pub module: String,
    pub input: String,
    pub output: String,
}

impl BlocksRow {
    /// The blocks of `stage`, in the order in which they finish.
    pub fn stage(&self, stage: Stage) -> &[BlockRow] {
        match stage {
            Stage::Encode => &self.encode,
            Stage::Decode => &self.decode,
        }
    }
}

/// Where one tensor of a case lies, and what it must hash to.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct TensorRow {
    pub shape: Vec<usize>,
    pub dtype: ElementType,
    pub sha256: String,
    pub stored: Stored,
    pub file: String,
}

impl TensorRow {
    /// Whether every value is kept.
    pub fn is_full(&self) -> bool {
        self.stored == Stored::Full
    }
}

/// Whether a file holds the whole tensor or 4096 of its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Stored {
    Full,
    Samples,
}

impl Manifest {
    pub fn read(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Err(Error::new(
                ErrorKind::Golden,
                path.display(),
                "no such file, which every folder of goldens has",
                "name the folder golden of this crate's sources with `golden`",
            ));
        }
        let text = read_text(path)?;
        let mut manifest: Self =
            serde_json::from_str(&text).map_err(|error| broken(path, json_problem::of(&error)))?;
        if manifest.schema_version != SCHEMA_VERSION {
            return Err(broken(
                path,
                format!(
                    "expected schema_version {SCHEMA_VERSION}, found {}",
                    manifest.schema_version
                ),
            ));
        }
        if manifest.cases.is_empty() {
            return Err(broken(path, "has no cases".into()));
        }
        plain(&manifest.tolerances).map_err(|problem| broken(path, problem))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut names = BTreeSet::new();
        for case in &mut manifest.cases {
            case.suite = folder.to_owned();
        }
        for case in &manifest.cases {
            if !names.insert(&case.name) {
                return Err(broken(path, format!("two cases are named {}", case.name)));
            }
            case.validate().map_err(|problem| broken(path, format!("{}: {problem}", case.name)))?;
        }
        Ok(manifest)
    }
}

impl Case {
    /// The folder of its tensors, in the part of the suite that it belongs to.
    pub fn folder(&self) -> PathBuf {
        self.suite.join("cases").join(&self.name)
    }

    /// How the work on its pictures is split, for a model with `config`.
    pub(super) fn splitting(&self, config: &VaeConfig) -> Result<Splitting> {
        let tile_size = self.tiling.map(|tiling| tiling.tile_sample_min_size);
        let splitting = Splitting::new(config, tile_size, self.slicing)?;
        if self.clip { splitting.of_clip(config) } else { Ok(splitting) }
    }

    /// What it asks for that not every implementation has; an implementation without is not judged.
    pub(super) fn optional(&self) -> Option<String> {
        let dtype = (self.dtype != Dtype::F32).then(|| self.dtype.to_string());
        let device = (self.device != "cpu").then(|| self.device.clone());
        let tiling = self.tiling.map(|_| "tiling".to_owned());
        let slicing = self.slicing.then(|| "slicing".to_owned());
        let clip = self.clip.then(|| "clips".to_owned());
        let asked = [dtype, device, tiling, slicing, clip].into_iter().flatten();
        let asked: Vec<String> = asked.collect();
        (!asked.is_empty()).then(|| asked.join(", "))
    }

    fn validate(&self) -> std::result::Result<(), String> {
        let blocks = self.blocks.iter().map(|blocks| &blocks.file);
        let names = [&self.name, &self.model, &self.image].into_iter();
        for name in names.chain(&self.batch).chain(&self.trace).chain(blocks) {
            plain(name)?;
        }
        for (name, row) in &self.tensors {
            plain(&row.file).map_err(|problem| format!("{name}: {problem}"))?;
            if row.shape.is_empty() || row.shape.contains(&0) {
                return Err(format!("{name}: shape {:?} has no values", row.shape));
            }
            if !matches!(row.dtype, ElementType::F32 | ElementType::U8) {
                return Err(format!("{name}: expected dtype f32 or u8, found {}", row.dtype));
            }
        }
        if self.width.is_some() != self.height.is_some() {
            return Err("has one of width and height".into());
        }
        let of_posterior: &[&str] = match self.posterior.kind {
            PosteriorKind::Mode => &["moments"],
            PosteriorKind::Sample => &["moments", "noise"],
            PosteriorKind::Deterministic => &[],
        };
        for name in ["sample", "latents", "decoded"].iter().chain(of_posterior) {
            if !self.tensors.contains_key(*name) {
                return Err(format!("has no tensor {name}"));
            }
        }
        // Only bf16 ends before the picture: numpy has none, so the reference script stops there.
        if self.dtype != Dtype::Bf16 && !self.tensors.contains_key("decoded_rgb8") {
            return Err("has no decoded_rgb8".into());
        }
        Ok(())
    }
}

/// Names are joined to folders, so none may lead out of them.
fn plain(name: &str) -> std::result::Result<(), String> {
    let alone = Path::new(name).file_name().is_some_and(|file| file == name);
    if alone && !name.contains(['/', '\\']) { Ok(()) } else { Err(format!("bad name {name:?}")) }
}

pub(super) fn read_text(path: &Path) -> Result<String> {
    input::read_text(path).map_err(|problem| broken(path, problem))
}

/// What another module found wrong with a file of the suite.
pub(super) fn broken_by(error: &Error) -> Error {
    Error::new(ErrorKind::Golden, error.subject(), error.problem(), WRITE_AGAIN)
}

/// An error about a file of the suite itself.
pub(super) fn broken(path: &Path, problem: String) -> Error {
    Error::new(ErrorKind::Golden, path.display(), problem, WRITE_AGAIN)
}

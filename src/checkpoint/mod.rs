//! A source of weights, opened, named and checked against its config before anything runs.

mod layout;
mod safetensors_file;
mod source;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use half::{bf16, f16};
use safetensors::Dtype as StoredDtype;

use crate::config::{AutoencoderKLConfig, Family};
use crate::error::{Error, ErrorKind, Result, io_reason};
use crate::recipe::Recipe;
pub use layout::{TensorSpec, expected_tensors};
use safetensors_file::SafetensorsFile;
pub use source::Source;
use source::WeightsFile;

const BUILTIN_CONFIG: &str = include_str!("../../golden/models/builtin/vae/config.json");
const BUILTIN_WEIGHTS: &[u8] =
    include_bytes!("../../golden/models/builtin/vae/diffusion_pytorch_model.safetensors");

/// A VAE's config and tensors. Every tensor that the config asks for is there with its shape.
#[derive(Debug)]
pub struct Checkpoint {
    config: AutoencoderKLConfig,
    family: Family,
    source: Source,
    weights: Weights,
    notes: Vec<String>,
}

#[derive(Debug)]
enum Weights {
    File(SafetensorsFile),
    Recipe(Recipe),
}

/// One tensor as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTensor<'a> {
    /// How its values are encoded: f32, f16 or bf16.
    pub dtype: crate::Dtype,
    /// Sizes of its dimensions.
    pub shape: Vec<usize>,
    /// Little-endian values in C order.
    pub data: Cow<'a, [u8]>,
}

impl StoredTensor<'_> {
    /// The values as f32: exact from every dtype that is read.
    pub fn to_f32(&self) -> Vec<f32> {
        let pairs = || self.data.chunks_exact(2).map(|pair| [pair[0], pair[1]]);
        match self.dtype {
            crate::Dtype::F32 => self
                .data
                .chunks_exact(4)
                .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
                .collect(),
            crate::Dtype::F16 => pairs().map(|pair| f16::from_le_bytes(pair).to_f32()).collect(),
            crate::Dtype::Bf16 => pairs().map(|pair| bf16::from_le_bytes(pair).to_f32()).collect(),
        }
    }
}

impl Checkpoint {
    /// Opens `source`; `config` replaces the `config.json` found there.
    ///
    /// Errors when files are missing or broken, and when a tensor that the config asks for is
    /// missing, has another shape or is stored in a dtype other than f32, f16 and bf16.
    pub fn open(source: &Source, config: Option<&Path>) -> Result<Self> {
        let mut notes = Vec::new();
        let (config_file, weights) = match source {
            Source::Builtin => {
                let origin = Path::new("the built-in VAE");
                (None, Weights::File(SafetensorsFile::embedded(BUILTIN_WEIGHTS, origin)?))
            }
            Source::Folder { path, subfolder } => {
                let (folder, which) = source::vae_folder(path, subfolder.as_deref())?;
                notes.push(which);
                let weights = match source::weights_in(&folder) {
                    Some(WeightsFile::Safetensors(file)) => {
                        Weights::File(SafetensorsFile::open(&file)?)
                    }
                    Some(WeightsFile::Recipe(file)) => Weights::Recipe(read_recipe(&file)?),
                    None => return Err(source::no_weights(&folder)),
                };
                (Some(folder.join("config.json")), weights)
            }
        };
        let config = match config.or(config_file.as_deref()) {
            Some(file) => AutoencoderKLConfig::from_json(
                &read_text(file, ErrorKind::Config)?,
                &file.display().to_string(),
            )?,
            None => AutoencoderKLConfig::from_json(BUILTIN_CONFIG, "the built-in config.json")?,
        };
        if !config.defaulted.is_empty() {
            notes.push(format!(
                "config.json leaves out {}: diffusers' defaults are used",
                config.defaulted.join(", ")
            ));
        }
        if !config.unknown.is_empty() {
            notes.push(format!(
                "config.json has fields that AutoencoderKL does not know, ignored: {}",
                config.unknown.join(", ")
            ));
        }
        let family = match source {
            Source::Builtin => Family::Builtin,
            Source::Folder { .. } => Family::of(&config),
        };
        let mut checkpoint =
            Self { config, family, source: source.clone(), weights, notes: Vec::new() };
        notes.extend(checkpoint.check_tensors()?);
        checkpoint.notes = notes;
        Ok(checkpoint)
    }

    /// Weights by recipe for `config`, as golden models without a file have them.
    pub fn from_recipe(config: AutoencoderKLConfig, recipe: Recipe) -> Self {
        Self {
            family: Family::of(&config),
            config,
            source: Source::Builtin,
            weights: Weights::Recipe(recipe),
            notes: Vec::new(),
        }
    }

    /// The config, defaults filled in.
    pub fn config(&self) -> &AutoencoderKLConfig {
        &self.config
    }

    /// The family that the config describes.
    pub fn family(&self) -> Family {
        self.family
    }

    /// Where it was opened from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// What a user should know: which folder was used, defaults, tensors that are not needed.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Number of values in all tensors that the config asks for.
    pub fn parameters(&self) -> usize {
        expected_tensors(&self.config)
            .iter()
            .map(|tensor| tensor.shape.iter().product::<usize>())
            .sum()
    }

    /// The tensor `name` as stored.
    ///
    /// Errors when the config asks for no such tensor.
    pub fn tensor(&self, name: &str) -> Result<StoredTensor<'_>> {
        let unknown = || {
            Error::tensor(name, "no such tensor in this checkpoint", "use a diffusers tensor name")
        };
        match &self.weights {
            Weights::File(file) => {
                let (dtype, shape, data) = file.tensor(name).ok_or_else(unknown)?;
                let dtype = readable(dtype).ok_or_else(|| bad_dtype(name, dtype))?;
                Ok(StoredTensor { dtype, shape: shape.to_vec(), data: Cow::Borrowed(data) })
            }
            Weights::Recipe(recipe) => {
                let spec = expected_tensors(&self.config)
                    .into_iter()
                    .find(|spec| spec.name == name)
                    .ok_or_else(unknown)?;
                let values = recipe.values(name, &spec.shape);
                let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                Ok(StoredTensor {
                    dtype: crate::Dtype::F32,
                    shape: spec.shape,
                    data: Cow::Owned(data),
                })
            }
        }
    }

    /// Both ways: what the config asks for and is not there is an error, the rest a note.
    fn check_tensors(&self) -> Result<Option<String>> {
        let Weights::File(file) = &self.weights else { return Ok(None) };
        let mut found: BTreeMap<String, Vec<usize>> = file.tensors().collect();
        let mut missing = Vec::new();
        let mut misshapen = Vec::new();
        for TensorSpec { name, shape } in expected_tensors(&self.config) {
            match found.remove(&name) {
                None => missing.push(name),
                Some(other) if other != shape => {
                    misshapen.push(format!("{name}: expected {shape:?}, found {other:?}"));
                }
                Some(_) => {
                    self.tensor(&name)?;
                }
            }
        }
        let unexpected: Vec<String> = found.into_keys().collect();
        if missing.is_empty() && misshapen.is_empty() {
            return Ok((!unexpected.is_empty())
                .then(|| format!("{}, ignored", some_of(&unexpected, "unexpected"))));
        }
        let mut problems = Vec::new();
        if !missing.is_empty() {
            problems.push(some_of(&missing, "missing"));
        }
        if !misshapen.is_empty() {
            problems.push(some_of(&misshapen, "with another shape"));
        }
        if !unexpected.is_empty() {
            problems.push(some_of(&unexpected, "unexpected"));
        }
        Err(Error::new(
            ErrorKind::Checkpoint,
            &self.source,
            format!("the weights do not fit the config: {}", problems.join("; ")),
            "check that weights and config.json belong together, and that this is a VAE",
        ))
    }
}

fn readable(dtype: StoredDtype) -> Option<crate::Dtype> {
    match dtype {
        StoredDtype::F32 => Some(crate::Dtype::F32),
        StoredDtype::F16 => Some(crate::Dtype::F16),
        StoredDtype::BF16 => Some(crate::Dtype::Bf16),
        _ => None,
    }
}

fn bad_dtype(name: &str, dtype: StoredDtype) -> Error {
    Error::new(
        ErrorKind::Checkpoint,
        name,
        format!("expected f32, f16 or bf16, found {dtype:?}"),
        "convert the checkpoint to one of these",
    )
}

/// `3 tensors missing (a, b, ...)`.
fn some_of(names: &[String], what: &str) -> String {
    const SHOWN: usize = 3;
    let more = if names.len() > SHOWN { ", ..." } else { "" };
    let plural = if names.len() == 1 { "" } else { "s" };
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    format!("{} tensor{plural} {what} ({shown}{more})", names.len())
}

fn read_text(path: &Path, kind: ErrorKind) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| {
        Error::new(
            kind,
            path.display(),
            io_reason(&error),
            "a VAE needs its config.json: fetch it, or pass one with --config",
        )
    })
}

fn read_recipe(path: &Path) -> Result<Recipe> {
    let text = read_text(path, ErrorKind::Checkpoint)?;
    let broken = |problem: String| {
        Error::checkpoint(path, problem, "restore the file from this crate's golden/models")
    };
    let recipe: Recipe = serde_json::from_str(&text).map_err(|error| broken(error.to_string()))?;
    if recipe.schema_version != 1 || recipe.hash != Recipe::HASH {
        return Err(broken(format!(
            "expected schema_version 1 and hash {}, found {} and {}",
            Recipe::HASH,
            recipe.schema_version,
            recipe.hash
        )));
    }
    Ok(recipe)
}

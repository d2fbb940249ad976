//! A checkpoint that fits its config, opened and ready to be read.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use vae_fidelity_core::config::{Family, VaeConfig};
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::recipe::Recipe;
use vae_fidelity_core::scaling::{PatchedBatchNorm, RUNNING_MEAN, RUNNING_VAR, Scaling};
use vae_fidelity_core::stored_tensor::StoredTensor;
use vae_fidelity_files::error::{Error, ErrorKind, Result};

use super::builtin::builtin;
use super::class::Recognised;
use super::entry::{Entry, made_by};
use super::find::{Found, Weights, check_recipe_size, check_replaced, find, read_text};
use super::layout::{TensorSpec, expected_tensors, idle_note};
use super::open_options::OpenOptions;
use super::source::Source;
use super::{class, fit, shapes, tensor_files};

/// A VAE's config and tensors. Every tensor that the config asks for is there with its shape.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    config: VaeConfig,
    family: Family,
    source: Source,
    revision: Option<String>,
    files: Vec<PathBuf>,
    /// Shared with models whose tensors lie in the mapped files.
    weights: Arc<Weights>,
    /// Of every tensor by its name, where weights are made by recipe; once one was asked for.
    shapes: OnceLock<Arc<BTreeMap<String, TensorSpec>>>,
    /// What values are rounded to on their way out.
    rounded: Option<Dtype>,
    notes: Vec<String>,
}

impl Checkpoint {
    /// Opens `source`; `config` replaces the `config.json` found there.
    ///
    /// As [`Checkpoint::open_with`], without a family or variant.
    ///
    /// # Errors
    ///
    /// As [`Checkpoint::open_with`].
    pub fn open(source: &Source, config: Option<&Path>) -> Result<Self> {
        let options = OpenOptions { config: config.map(Path::to_owned), ..OpenOptions::default() };
        Self::open_with(source, &options)
    }

    /// Opens `source` as `options` say.
    ///
    /// # Errors
    ///
    /// Returns an error
    ///
    /// - if a file is missing or broken;
    /// - if a tensor of the config is missing, has another shape, or has a dtype that cannot be read;
    /// - if a single file has no config, and neither shapes nor `options` determine its fields;
    /// - for a repository of a hub ([`ErrorKind::Hub`]), if the cache lacks a file and the hub cannot be
    ///   reached, refuses or sends other bytes than it announced, or if the cache cannot be written.
    pub fn open_with(source: &Source, options: &OpenOptions) -> Result<Self> {
        options.check()?;
        let mut notes = Vec::new();
        let found = find(source, options, &mut notes)?;
        let Found { weights, files, config, others, recognised, revision } = found;
        let refused = |recognised: Recognised| {
            let (problem, next) = recognised.refusal();
            Error::new(ErrorKind::Checkpoint, source, problem, next)
        };
        // What the text of a config says; one that the class it names cannot have may be of the weights'.
        let parsed = |text: &str, origin: &str| match VaeConfig::from_json(text, origin) {
            Ok(config) => Ok(config),
            Err(error) => Err(match &weights {
                Weights::Files(vae) => class::beside_invalid(vae, text).map_or(error, refused),
                Weights::Recipe(_) => error,
            }),
        };
        let config = match (options.config.as_ref().or(config.as_ref()), source, &weights) {
            (Some(file), ..) => {
                let text = read_text(file, ErrorKind::Config)?;
                let config = parsed(&text, &file.display().to_string())?;
                with_family(config, options.family, &mut notes)?
            }
            (None, Source::InMemory { name, config: Some(text), .. }, _) => {
                let config = parsed(text, &format!("the config of {name}"))?;
                with_family(config, options.family, &mut notes)?
            }
            (None, source, Weights::Files(vae)) if *source != Source::Builtin => {
                if let Some(recognised) = recognised {
                    return Err(refused(recognised));
                }
                let origin = files.first().map_or(Path::new("the checkpoint"), PathBuf::as_path);
                let (config, note) = shapes::config(vae, &others, options.family, origin)?;
                notes.push(note);
                config
            }
            (None, ..) => {
                let origin = "the built-in config.json";
                let config = VaeConfig::from_json(builtin()?.0, origin)?;
                with_family(config, options.family, &mut notes)?
            }
        };
        // A config that names another class has been refused as that.
        let beside = match &weights {
            Weights::Files(vae) => class::beside(vae, &config),
            Weights::Recipe(_) => None,
        };
        if let Some(recognised) = recognised.or(beside) {
            return Err(refused(recognised));
        }
        if !config.defaulted().is_empty() {
            notes.push(format!(
                "config.json leaves out {}: diffusers' defaults are used",
                config.defaulted().join(", ")
            ));
        }
        if !config.unknown().is_empty() {
            notes.push(format!(
                "config.json has fields that {} does not know, ignored: {}",
                config.class().name(),
                config.unknown().join(", ")
            ));
        }
        if let Weights::Recipe(recipe) = &weights {
            let path = files.first().map_or(Path::new("recipe.json"), |file| file);
            check_recipe_size(&config, path)?;
            check_replaced(recipe, &config, path)?;
        }
        if let Weights::Files(vae) = &weights {
            notes.extend(fit::check(&config, vae, &source.to_string())?);
        }
        notes.extend(idle_note(&config));
        let family = match (source, options.family) {
            (_, Some(family)) => family,
            (Source::Builtin, None) => Family::Builtin,
            _ => Family::of(&config),
        };
        Ok(Self {
            config,
            family,
            source: source.clone(),
            revision,
            files,
            weights: Arc::new(weights),
            shapes: OnceLock::new(),
            rounded: None,
            notes,
        })
    }

    /// Weights by recipe for `config`, as golden models without a file have them.
    pub fn from_recipe(config: impl Into<VaeConfig>, recipe: Recipe) -> Self {
        let config = config.into();
        Self {
            family: Family::of(&config),
            config,
            source: Source::Builtin,
            revision: None,
            files: Vec::new(),
            weights: Arc::new(Weights::Recipe(recipe)),
            shapes: OnceLock::new(),
            rounded: None,
            notes: Vec::new(),
        }
    }

    /// As they were found.
    pub(super) fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The config, defaults filled in.
    pub fn config(&self) -> &VaeConfig {
        &self.config
    }

    /// The family that the config describes.
    pub fn family(&self) -> Family {
        self.family
    }

    /// How latents are handed to the diffusion model by a model that runs in `dtype`.
    ///
    /// # Errors
    ///
    /// Returns an error if the class keeps statistics in the checkpoint, and they are no numbers that
    /// latents can be divided by.
    pub fn scaling(&self, dtype: Dtype) -> Result<Scaling> {
        match &self.config {
            VaeConfig::AutoencoderKLFlux2(config) => {
                let mean = self.tensor(RUNNING_MEAN)?.to_f32();
                let variance = self.tensor(RUNNING_VAR)?.to_f32();
                PatchedBatchNorm::new(mean, &variance, config.batch_norm_eps, dtype)
                    .map(Scaling::PatchedBatchNorm)
            }
            // Every other class has its rule in the config.
            config => {
                Ok(Scaling::of_config(config).unwrap_or(Scaling::Factor { scaling_factor: 1.0 }))
            }
        }
    }

    /// Where it was opened from.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The commit that a repository of a hub was at; `None` for all other sources.
    pub fn revision(&self) -> Option<&str> {
        self.revision.as_deref()
    }

    /// The files that the weights come from; none for the built-in VAE.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
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

    /// Keeps the files mapped for as long as it lives.
    pub fn mapped(&self) -> Arc<dyn Any + Send + Sync> {
        self.weights.clone()
    }

    /// The same checkpoint, whose tensors are rounded to `dtype` and given as f32: weights of half
    /// precision for arithmetic that is not.
    pub fn rounded_to(&self, dtype: Dtype) -> Self {
        Self { rounded: Some(dtype), ..self.clone() }
    }

    /// The same checkpoint with another `norm_num_groups`; `None` where its config has none, or a width is
    /// no multiple of it.
    pub fn with_norm_num_groups(&self, groups: usize) -> Option<Self> {
        let config = self.config.clone().with_norm_num_groups(groups)?;
        Some(Self { config, ..self.clone() })
    }

    /// Checks that what was read so far is what the files held when they were opened: another process,
    /// a download or a training run, may write to them.
    ///
    /// # Errors
    ///
    /// Returns an error that names the file that was written to.
    pub fn check_unchanged(&self) -> Result<()> {
        match self.weights.as_ref() {
            Weights::Files(vae) => tensor_files::check_unchanged(vae.values()),
            Weights::Recipe(_) => Ok(()),
        }
    }

    /// Lets go of the memory that `name` takes while its file is mapped; it is read anew when it is
    /// asked for again.
    pub fn forget(&self, name: &str) {
        if let Weights::Files(vae) = self.weights.as_ref() {
            vae.get(name).into_iter().for_each(Entry::forget);
        }
    }

    /// The tensor `name`, by its diffusers name, as stored.
    ///
    /// # Errors
    ///
    /// Returns an error if the config has no tensor of this name.
    pub fn tensor(&self, name: &str) -> Result<StoredTensor<'_>> {
        let stored = self.stored(name)?;
        Ok(match self.rounded {
            Some(dtype) => stored.rounded(dtype),
            None => stored,
        })
    }

    fn stored(&self, name: &str) -> Result<StoredTensor<'_>> {
        let unknown = || no_such_tensor(name);
        match self.weights.as_ref() {
            Weights::Files(vae) => vae.get(name).and_then(Entry::read).ok_or_else(unknown),
            Weights::Recipe(recipe) => {
                let shapes = self.shapes.get_or_init(|| {
                    let of_graph = expected_tensors(&self.config).into_iter();
                    Arc::new(of_graph.map(|spec| (spec.name.clone(), spec)).collect())
                });
                Ok(made_by(recipe, shapes.get(name).ok_or_else(unknown)?))
            }
        }
    }
}

fn no_such_tensor(name: &str) -> Error {
    Error::tensor(name, "no such tensor in this checkpoint", "use a diffusers tensor name")
}

/// `config` with the scaling of the family that was asked for.
fn with_family(
    config: VaeConfig,
    family: Option<Family>,
    notes: &mut Vec<String>,
) -> Result<VaeConfig> {
    let Some(family) = family else { return Ok(config) };
    let before = config.scaling_factor();
    let config = family.apply(config)?;
    if let (Some(before), Some(after)) = (before, config.scaling_factor()) {
        notes.push(format!(
            "`family` {family} replaces config.json's scaling: {before} becomes {after}"
        ));
    }
    Ok(config)
}

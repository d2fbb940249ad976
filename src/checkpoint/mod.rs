//! A source of weights, opened, named and checked against its config before anything runs.
//!
//! Nothing here trusts a file: sizes and offsets are checked before they are used, pickles are
//! read without running them, names in an index stay inside the checkpoint, and
//! memory is bounded by the size of the files.

mod bytes;
mod contents;
mod damage;
mod entry;
mod fit;
mod hub;
mod layout;
mod names;
mod pickle;
mod safetensors_file;
mod scaled;
mod seal;
mod shapes;
mod source;
mod tensor_files;
mod weight_files;

#[cfg(feature = "tch")]
use std::any::Any;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::config::{AutoencoderKLConfig, Family};
use crate::dtype::Dtype;
use crate::error::{Error, ErrorKind, Result};
use crate::input;
use crate::recipe::Recipe;
pub use contents::{Contents, Origin, Settled, TensorInfo};
pub use damage::{Damage, DamageKind};
use entry::Entry;
pub use entry::StoredTensor;
pub use hub::{HubOptions, HubProgress, HubStep, Token};
pub use layout::{TensorSpec, expected_tensors};
pub use source::Source;
use weight_files::WeightFiles;

const BUILTIN_CONFIG: &str = include_str!("../../golden/models/builtin/vae/config.json");
const BUILTIN_WEIGHTS: &[u8] =
    include_bytes!("../../golden/models/builtin/vae/diffusion_pytorch_model.safetensors");

/// A VAE's config and tensors. Every tensor that the config asks for is there with its shape.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    config: AutoencoderKLConfig,
    family: Family,
    source: Source,
    revision: Option<String>,
    files: Vec<PathBuf>,
    /// Shared with models whose tensors lie in the mapped files.
    weights: Arc<Weights>,
    /// What values are rounded to on their way out.
    rounded: Option<Dtype>,
    notes: Vec<String>,
}

#[derive(Debug)]
enum Weights {
    /// By diffusers name.
    Files(BTreeMap<String, Entry>),
    Recipe(Recipe),
}

/// What a user can say about a source beside its name.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// A file that replaces the source's `config.json`, or supplies one (`--config`).
    pub config: Option<PathBuf>,
    /// The family whose published scaling replaces that of `config.json`, or supplies it
    /// (`--family`); checked against the graph.
    pub family: Option<Family>,
    /// The variant of the weights to prefer in a folder, such as `fp16` (`--variant`).
    pub variant: Option<String>,
    /// How a hub is reached, for a source on one; `None` leaves it to the environment
    /// ([`HubOptions::from_environment`]).
    pub hub: Option<HubOptions>,
}

/// What a source holds, before config and tensors are brought together.
struct Found {
    weights: Weights,
    files: Vec<PathBuf>,
    config: Option<PathBuf>,
    /// Tensors of other models in the same file.
    others: BTreeMap<String, Entry>,
    /// The commit of a repository.
    revision: Option<String>,
}

impl Checkpoint {
    /// Opens `source`; `config` replaces the `config.json` found there.
    ///
    /// As [`Checkpoint::open_with`], without a family or variant.
    pub fn open(source: &Source, config: Option<&Path>) -> Result<Self> {
        let options = OpenOptions { config: config.map(Path::to_owned), ..OpenOptions::default() };
        Self::open_with(source, &options)
    }

    /// Opens `source` as `options` say.
    ///
    /// Errors when files are missing or broken; when a tensor that the config asks for is missing,
    /// has another shape or is stored in a dtype that is not read; and when a single file has no
    /// config and `options` do not say what its shapes leave open. For a repository of a hub also
    /// ([`ErrorKind::Hub`]): when the hub cannot be reached, refuses, or sends something else than
    /// it states, and its cache does not have what is needed; and when that cannot be written.
    pub fn open_with(source: &Source, options: &OpenOptions) -> Result<Self> {
        refuse_config_with_family(options)?;
        let mut notes = Vec::new();
        let Found { weights, files, config, others, revision } = find(source, options, &mut notes)?;
        let config = match (options.config.as_ref().or(config.as_ref()), source, &weights) {
            (Some(file), ..) => {
                let origin = file.display().to_string();
                let config =
                    AutoencoderKLConfig::from_json(&read_text(file, ErrorKind::Config)?, &origin)?;
                with_family(config, options.family, &mut notes)?
            }
            (None, source, Weights::Files(vae)) if *source != Source::Builtin => {
                let origin = files.first().map_or(Path::new("the checkpoint"), PathBuf::as_path);
                let (config, note) = shapes::config(vae, &others, options.family, origin)?;
                notes.push(note);
                config
            }
            (None, ..) => {
                let origin = "the built-in config.json";
                let config = AutoencoderKLConfig::from_json(BUILTIN_CONFIG, origin)?;
                with_family(config, options.family, &mut notes)?
            }
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
        if let Weights::Recipe(recipe) = &weights {
            check_replaced(
                recipe,
                &config,
                files.first().map_or(Path::new("recipe.json"), |file| file),
            )?;
        }
        if let Weights::Files(vae) = &weights {
            notes.extend(fit::check(&config, vae, &source.to_string())?);
        }
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
            rounded: None,
            notes,
        })
    }

    /// Weights by recipe for `config`, as golden models without a file have them.
    pub fn from_recipe(config: AutoencoderKLConfig, recipe: Recipe) -> Self {
        Self {
            family: Family::of(&config),
            config,
            source: Source::Builtin,
            revision: None,
            files: Vec::new(),
            weights: Arc::new(Weights::Recipe(recipe)),
            rounded: None,
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
    #[cfg(feature = "tch")]
    pub(crate) fn mapped(&self) -> Arc<dyn Any + Send + Sync> {
        self.weights.clone()
    }

    /// The shape of the tensor `name`, which its values need not be read for.
    pub(crate) fn tensor_shape(&self, name: &str) -> Result<Vec<usize>> {
        expected_tensors(&self.config)
            .into_iter()
            .find(|spec| spec.name == name)
            .map(|spec| spec.shape)
            .ok_or_else(|| no_such_tensor(name))
    }

    /// The same checkpoint, whose tensors are rounded to `dtype` and given as f32: weights of half
    /// precision for arithmetic that is not.
    pub fn rounded_to(&self, dtype: Dtype) -> Self {
        Self {
            config: self.config.clone(),
            family: self.family,
            source: self.source.clone(),
            files: self.files.clone(),
            weights: Arc::clone(&self.weights),
            revision: self.revision.clone(),
            rounded: Some(dtype),
            notes: self.notes.clone(),
        }
    }

    /// Lets go of the memory that `name` takes while its file is mapped; it is read anew when it is
    /// asked for again.
    pub(crate) fn forget(&self, name: &str) {
        if let Weights::Files(vae) = self.weights.as_ref() {
            vae.get(name).into_iter().for_each(Entry::forget);
        }
    }

    /// The tensor `name`, by its diffusers name, as stored.
    ///
    /// Errors when the config asks for no such tensor.
    pub fn tensor(&self, name: &str) -> Result<StoredTensor<'_>> {
        let stored = self.stored(name)?;
        let Some(dtype) = self.rounded else { return Ok(stored) };
        let values = stored.to_f32().into_iter().map(|value| dtype.round(value));
        let data = values.flat_map(f32::to_le_bytes).collect();
        Ok(StoredTensor { dtype: Dtype::F32, shape: stored.shape, data: Cow::Owned(data) })
    }

    fn stored(&self, name: &str) -> Result<StoredTensor<'_>> {
        let unknown = || no_such_tensor(name);
        match self.weights.as_ref() {
            Weights::Files(vae) => vae.get(name).and_then(Entry::read).ok_or_else(unknown),
            Weights::Recipe(recipe) => {
                let spec = expected_tensors(&self.config)
                    .into_iter()
                    .find(|spec| spec.name == name)
                    .ok_or_else(unknown)?;
                Ok(StoredTensor::of(recipe, &spec))
            }
        }
    }
}

fn no_such_tensor(name: &str) -> Error {
    Error::tensor(name, "no such tensor in this checkpoint", "use a diffusers tensor name")
}

fn refuse_config_with_family(options: &OpenOptions) -> Result<()> {
    let (Some(config), Some(family)) = (&options.config, options.family) else { return Ok(()) };
    Err(Error::option(
        format!("--family {family}"),
        format!("--config {} says the same and more", config.display()),
        "leave one of them out",
    ))
}

/// Where the parts of a source lie, before anything is read.
struct Located {
    /// None for the built-in VAE.
    weights: Option<WeightFiles>,
    /// The config beside the weights, which may not be there.
    config: Option<PathBuf>,
    /// The commit of a repository.
    revision: Option<String>,
}

/// Finds the files of `source`.
fn locate(source: &Source, options: &OpenOptions, notes: &mut Vec<String>) -> Result<Located> {
    let variant = options.variant.as_deref();
    let mut revision = None;
    let (weights, config) = match source {
        Source::Builtin => {
            if let Some(variant) = variant {
                return Err(Error::option(
                    format!("--variant {variant}"),
                    "the built-in VAE has no variants",
                    "leave it out, or name a folder with --repo; --dtype sets the arithmetic",
                ));
            }
            return Ok(Located { weights: None, config: None, revision });
        }
        Source::Folder { path, subfolder } => {
            find_in_folder(path, subfolder.as_deref(), variant, notes)?
        }
        Source::Hub { id, revision: wanted, subfolder } => {
            let settings = match &options.hub {
                Some(settings) => settings.clone(),
                None => HubOptions::from_environment(None)?,
            };
            let (wanted, subfolder) = (wanted.as_deref(), subfolder.as_deref());
            let wanted = hub::Wanted { id, revision: wanted, subfolder, variant };
            let snapshot = hub::fetch(wanted, &settings)?;
            notes.extend(snapshot.notes);
            revision = Some(snapshot.commit);
            find_in_folder(&snapshot.folder, subfolder, variant, notes)?
        }
        Source::File { path } => {
            if let Some(variant) = variant {
                return Err(Error::option(
                    format!("--variant {variant}"),
                    "--repo names a file, which is one variant already",
                    "leave it out, or name the folder",
                ));
            }
            (WeightFiles::Tensors(vec![path.clone()]), config_beside(path))
        }
    };
    Ok(Located { weights: Some(weights), config, revision })
}

/// Opens the files of `source` and tells the VAE's tensors from others.
fn find(source: &Source, options: &OpenOptions, notes: &mut Vec<String>) -> Result<Found> {
    let Located { weights, config, revision } = locate(source, options, notes)?;
    let files = match weights {
        None => {
            let tensors = tensor_files::embedded(BUILTIN_WEIGHTS, Path::new("the built-in VAE"))?;
            return Ok(Found {
                weights: Weights::Files(tensors),
                files: Vec::new(),
                config: None,
                others: BTreeMap::new(),
                revision,
            });
        }
        // A formula has no shapes to read a graph off: it needs its config.
        Some(WeightFiles::Recipe(file)) => {
            return Ok(Found {
                weights: Weights::Recipe(read_recipe(&file)?),
                files: vec![file],
                config,
                others: BTreeMap::new(),
                revision,
            });
        }
        Some(WeightFiles::Tensors(files)) => files,
    };
    let (tensors, said) = tensor_files::open(&files)?;
    notes.extend(said);
    let refused =
        |problem: String, next: &str| Error::new(ErrorKind::Checkpoint, source, problem, next);
    let mut named = names::find_vae(tensors).map_err(|problem| {
        refused(
            problem,
            "the file mixes two VAEs or two conversions of one: fetch or export it again",
        )
    })?;
    notes.extend(named.notes);
    scaled::apply(&mut named.vae).map_err(|problem| {
        refused(problem, "take the checkpoint in f16, bf16 or f32, or 8-bit floats without scales")
    })?;
    let mut checked = HashSet::new();
    for entry in named.vae.values() {
        entry.check_seal(&mut checked).map_err(|problem| refused(problem, bytes::FETCH_AGAIN))?;
    }
    let config = config.filter(|file| file.exists());
    let weights = Weights::Files(named.vae);
    Ok(Found { weights, files, config, others: named.others, revision })
}

/// The weights of the folder `path`, and the `config.json` beside them, which may not be there.
fn find_in_folder(
    path: &Path,
    subfolder: Option<&str>,
    variant: Option<&str>,
    notes: &mut Vec<String>,
) -> Result<(WeightFiles, Option<PathBuf>)> {
    let (folder, which) = source::vae_folder(path, subfolder, variant)?;
    notes.push(which);
    let (files, fallback) = weight_files::find(&folder, path, variant)?;
    notes.extend(fallback);
    Ok((files, Some(folder.join("config.json"))))
}

/// The config.json beside a file that diffusers named: it belongs to that file.
fn config_beside(file: &Path) -> Option<PathBuf> {
    let name = file.file_name()?.to_str()?;
    let config = file.with_file_name("config.json");
    (name.starts_with(weight_files::STEM) && config.is_file()).then_some(config)
}

/// `config` with the scaling that `--family` asks for.
fn with_family(
    config: AutoencoderKLConfig,
    family: Option<Family>,
    notes: &mut Vec<String>,
) -> Result<AutoencoderKLConfig> {
    let Some(family) = family else { return Ok(config) };
    let before = config.scaling_factor;
    let config = family.apply(config)?;
    notes.push(format!(
        "--family {family} replaces config.json's scaling: {before} becomes {}",
        config.scaling_factor
    ));
    Ok(config)
}

fn read_text(path: &Path, kind: ErrorKind) -> Result<String> {
    input::read_text(path).map_err(|problem| {
        Error::new(
            kind,
            path.display(),
            problem,
            "a VAE needs its config.json: fetch it, or pass one with --config",
        )
    })
}

/// Tensors that a recipe gives by value have to be the config's.
fn check_replaced(recipe: &Recipe, config: &AutoencoderKLConfig, path: &Path) -> Result<()> {
    let specs = expected_tensors(config);
    for (name, values) in &recipe.replace {
        let spec = specs.iter().find(|spec| spec.name == *name);
        let size = spec.map(|spec| spec.shape.iter().product::<usize>());
        if size != Some(values.len()) || values.iter().any(|value| !value.is_finite()) {
            let expected = size.map_or("no such tensor".into(), |size| format!("{size} values"));
            return Err(Error::checkpoint(
                path,
                format!("replace: {name}: expected {expected}, found {} values", values.len()),
                "restore the file from this crate's golden/models",
            ));
        }
    }
    Ok(())
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

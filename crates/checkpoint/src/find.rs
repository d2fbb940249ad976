//! The files of a source, found and opened: tensors by diffusers name, config and tensors not yet
//! brought together.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use vae_fidelity_core::config::VaeConfig;
use vae_fidelity_core::json_problem;
use vae_fidelity_core::recipe::Recipe;
use vae_fidelity_files::error::{Error, ErrorKind, Result};
use vae_fidelity_files::input;

use super::builtin::builtin;
use super::class::Recognised;
use super::entry::Entry;
use super::halves::Halves;
#[cfg(feature = "hub")]
use super::hub::{self, HubOptions};
use super::layout::expected_tensors;
use super::open_options::OpenOptions;
use super::source::Source;
use super::tensor_files::TensorFile;
use super::weight_files::{self, WeightFiles};
use super::{bytes, names, scaled, source, tensor_files};

/// The tensors of a source.
#[derive(Debug)]
pub(super) enum Weights {
    /// By diffusers name.
    Files(BTreeMap<String, Entry>),
    Recipe(Recipe),
}

/// What a source holds, before config and tensors are brought together.
pub(super) struct Found {
    pub weights: Weights,
    pub files: Vec<PathBuf>,
    pub config: Option<PathBuf>,
    /// Tensors of other models in the same file.
    pub others: BTreeMap<String, Entry>,
    /// What the file holds, where that is no VAE that is run.
    pub recognised: Option<Recognised>,
    /// The commit of a repository.
    pub revision: Option<String>,
}

/// Where the parts of a source lie, before anything is read.
pub(super) struct Located {
    /// None for the built-in VAE.
    pub weights: Option<WeightFiles>,
    /// The config beside the weights, which may not be there.
    pub config: Option<PathBuf>,
    /// The commit of a repository.
    pub revision: Option<String>,
}

/// Finds the files of `source`.
pub(super) fn locate(
    source: &Source,
    options: &OpenOptions,
    notes: &mut Vec<String>,
) -> Result<Located> {
    let variant = options.variant.as_deref();
    #[cfg_attr(not(feature = "hub"), expect(unused_mut, reason = "only a hub has revisions"))]
    let mut revision = None;
    let (weights, config) = match source {
        Source::Builtin => {
            options.refuse_variant(
                "the built-in VAE has no variants",
                "leave it out, or name a folder with `repo`; `dtype` sets the arithmetic",
            )?;
            options.refuse_key("the built-in VAE is one by itself")?;
            return Ok(Located { weights: None, config: None, revision });
        }
        Source::Folder { path, subfolder } => {
            find_in_folder(path, subfolder.as_deref(), variant, notes)?
        }
        #[cfg(not(feature = "hub"))]
        Source::Hub { id, .. } => {
            return Err(Error::new(
                ErrorKind::Hub,
                id,
                "is a repository of a hub, and this build reaches none",
                "download it and name its folder, or build vae-fidelity-checkpoint with the feature hub",
            ));
        }
        #[cfg(feature = "hub")]
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
        Source::InMemory { name, weights, .. } => {
            options.refuse_variant("a model in memory has no variants", "leave it out")?;
            let file =
                TensorFile { bytes: Some(weights.clone()), ..TensorFile::plain(name.into()) };
            (WeightFiles::Tensors(vec![file]), None)
        }
        Source::File { path } => {
            options.refuse_variant(
                "`repo` names a file, which is one variant already",
                "leave it out, or name the folder",
            )?;
            (WeightFiles::Tensors(vec![TensorFile::plain(path.clone())]), config_beside(path))
        }
    };
    if let WeightFiles::Recipe(_) = weights {
        options.refuse_key("weights by formula are one VAE by themselves")?;
    }
    Ok(Located { weights: Some(weights), config, revision })
}

/// Opens the files of `source` and tells the VAE's tensors from others.
pub(super) fn find(
    source: &Source,
    options: &OpenOptions,
    notes: &mut Vec<String>,
) -> Result<Found> {
    let Located { weights, config, revision } = locate(source, options, notes)?;
    let files = match weights {
        None => {
            let tensors = tensor_files::embedded(builtin()?.1, Path::new("the built-in VAE"))?;
            return Ok(Found {
                weights: Weights::Files(tensors),
                files: Vec::new(),
                config: None,
                others: BTreeMap::new(),
                recognised: None,
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
                recognised: None,
                revision,
            });
        }
        Some(WeightFiles::Tensors(files)) => files,
    };
    let (tensors, said) = tensor_files::open(&files, options.key.as_deref())?;
    notes.extend(said);
    let refused =
        |problem: String, next: &str| Error::new(ErrorKind::Checkpoint, source, problem, next);
    let mut named = names::find_vae(tensors, source)?;
    let recognised = named.recognised;
    notes.extend(named.notes);
    scaled::apply(&mut named.vae, &named.others).map_err(|problem| {
        refused(problem, "take the checkpoint in f16, bf16 or f32, or 8-bit floats without scales")
    })?;
    let mut checked = HashSet::new();
    for entry in named.vae.values() {
        entry
            .verify_checksum(&mut checked)
            .map_err(|problem| refused(problem, bytes::FETCH_AGAIN))?;
    }
    let config = config.filter(|file| file.exists());
    let weights = Weights::Files(named.vae);
    let (files, others) = (tensor_files::paths(&files), named.others);
    Ok(Found { weights, files, config, others, recognised, revision })
}

/// The weights of the folder `path`, and the `config.json` beside them, which may not be there.
fn find_in_folder(
    path: &Path,
    subfolder: Option<&str>,
    variant: Option<&str>,
    notes: &mut Vec<String>,
) -> Result<(WeightFiles, Option<PathBuf>)> {
    let place = source::vae_folder(path, subfolder, variant);
    let found = place.and_then(|(folder, which)| {
        let (files, fallback) = weight_files::find(&folder, path, variant)?;
        Ok((folder, which, files, fallback))
    });
    let (folder, which, files, fallback) = match found {
        Ok(found) => found,
        Err(error) => {
            // As TAESD was published, where diffusers finds nothing.
            let folder = subfolder.map_or_else(|| path.to_owned(), |name| path.join(name));
            let halves = Halves::find(&folder)?.ok_or(error)?;
            (folder, halves.note(), WeightFiles::Tensors(halves.into_files()), None)
        }
    };
    notes.push(which);
    notes.extend(fallback);
    Ok((files, Some(folder.join("config.json"))))
}

/// The config.json beside a file that diffusers named: it belongs to that file.
fn config_beside(file: &Path) -> Option<PathBuf> {
    let name = file.file_name()?.to_str()?;
    let config = file.with_file_name("config.json");
    (name.starts_with(weight_files::STEM) && config.is_file()).then_some(config)
}

pub(super) fn read_text(path: &Path, kind: ErrorKind) -> Result<String> {
    input::read_text(path).map_err(|problem| {
        let next = match input::next_to_read(path) {
            Some(next) => next,
            None if kind != ErrorKind::Config => bytes::FETCH_AGAIN,
            None if path.exists() => "name the config.json of the VAE with `config`",
            None => "a VAE needs its config.json: fetch it, or pass one with `config`",
        };
        Error::new(kind, path.display(), problem, next)
    })
}

/// Far more than any VAE has: a recipe costs nothing to write, and each of its values has to be made.
const MAX_RECIPE_VALUES: u128 = 1 << 30;

/// Refuses a config that asks for more weights by formula than can be made.
pub(super) fn check_recipe_size(config: &VaeConfig, path: &Path) -> Result<()> {
    let product = |shape: &[usize]| shape.iter().map(|&side| side as u128).product::<u128>();
    let values: u128 = expected_tensors(config).iter().map(|spec| product(&spec.shape)).sum();
    if values <= MAX_RECIPE_VALUES {
        return Ok(());
    }
    Err(Error::checkpoint(
        path,
        format!("its config asks for {values} values by formula, more than {MAX_RECIPE_VALUES}"),
        "lower block_out_channels or layers_per_block in the config",
    ))
}

/// Tensors that a recipe gives by value have to be the config's.
pub(super) fn check_replaced(recipe: &Recipe, config: &VaeConfig, path: &Path) -> Result<()> {
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

pub(super) fn read_recipe(path: &Path) -> Result<Recipe> {
    let text = read_text(path, ErrorKind::Checkpoint)?;
    let broken = |problem: String| {
        Error::checkpoint(path, problem, "restore the file from this crate's golden/models")
    };
    let recipe: Recipe =
        serde_json::from_str(&text).map_err(|error| broken(json_problem::of(&error)))?;
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

//! What a source holds, whole or not: where [`Checkpoint::open`](super::Checkpoint::open) stops at
//! the first fault, this goes on.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::builtin::builtin;
use super::checkpoint::Checkpoint;
use super::class::Recognised;
use super::damage::{self, Damage, DamageKind};
use super::entry::{Encoding, Entry, made_by};
use super::find::{Located, Weights, check_recipe_size, locate, read_recipe, read_text};
use super::layout::{TensorSpec, expected_tensors, idle_note};
use super::open_options::OpenOptions;
use super::resolved_config::{Origin, ResolvedConfig, with_family};
use super::source::Source;
use super::weight_files::WeightFiles;
use super::{class, fit, names, scaled, tensor_files};
use vae_fidelity_core::config::{Class, Family, VaeConfig};
use vae_fidelity_core::recipe::Recipe;
use vae_fidelity_core::stored_tensor::StoredTensor;
use vae_fidelity_files::error::{Error, ErrorKind, Result};

/// One tensor of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TensorInfo {
    /// Its diffusers name.
    pub name: String,
    /// Sizes of its dimensions.
    pub shape: Vec<usize>,
    /// How its values are stored, by torch's or safetensors' name: `f32`, `float8_e4m3fn`, `I64`.
    pub dtype: String,
    /// Whether its values can be read here.
    pub readable: bool,
}

/// What a source holds.
#[derive(Debug)]
pub struct Contents {
    source: Source,
    revision: Option<String>,
    files: Vec<PathBuf>,
    damages: Vec<Damage>,
    config_file: Option<PathBuf>,
    resolved_config: ResolvedConfig,
    recognised: Option<Recognised>,
    origins: BTreeMap<String, Origin>,
    family: Family,
    family_reason: String,
    expected: Vec<TensorSpec>,
    tensors: BTreeMap<String, Entry>,
    recipe: Option<Recipe>,
    others: Vec<String>,
    notes: Vec<String>,
}

impl Contents {
    /// Looks into `source` as `options` say.
    ///
    /// # Errors
    ///
    /// Returns an error if there is nothing to look into: if files are missing, of an unknown format or
    /// broken in a way that has no [`DamageKind`] (a file that ends early is a finding, wherever it ends; one with bytes
    /// behind its last tensor is no file of any reader), if no tensor is of a VAE, or if the config is invalid.
    pub fn open(source: &Source, options: &OpenOptions) -> Result<Self> {
        options.check()?;
        let mut notes = Vec::new();
        let Located { weights, config, revision } = locate(source, options, &mut notes)?;
        let mut damages = Vec::new();
        let mut recipe = None;
        let (files, tensors) = match weights {
            None => (Vec::new(), tensor_files::embedded(builtin()?.1, Path::new("builtin"))?),
            Some(WeightFiles::Recipe(file)) => {
                recipe = Some(read_recipe(&file)?);
                (vec![file], BTreeMap::new())
            }
            Some(WeightFiles::Tensors(files)) => {
                let mut sound = Vec::new();
                for file in &files {
                    match damage::of(&file.path, &Arc::new(file.map()?)) {
                        Some(damage) => damages.push(damage),
                        None => sound.push(file.clone()),
                    }
                }
                let (tensors, said) = tensor_files::open(&sound, options.key.as_deref())?;
                notes.extend(said);
                (tensor_files::paths(&files), tensors)
            }
        };
        let refused = |problem| {
            let next = "the file mixes two VAEs, or quantises one in a way that is not read";
            Error::new(ErrorKind::Checkpoint, source, problem, next)
        };
        let mut named = names::find_vae(tensors, source)?;
        notes.extend(named.notes);
        scaled::apply(&mut named.vae, &named.others).map_err(refused)?;
        damages.extend(spoilt(&named.vae, &files));

        let config_file = options.config.clone().or(config.filter(|file| file.exists()));
        let origin = files.first().map_or(Path::new("the checkpoint"), PathBuf::as_path);
        let text = match (&config_file, source) {
            (Some(file), _) => {
                Some((read_text(file, ErrorKind::Config)?, file.display().to_string()))
            }
            (None, Source::InMemory { name, config: Some(text), .. }) => {
                Some((text.clone(), format!("the config of {name}")))
            }
            _ => None,
        };
        let resolved_config = match (text, source) {
            (Some((text, origin)), _) => {
                let resolved = ResolvedConfig::of_text(&text, &origin, options.family);
                if named.recognised.is_none() {
                    named.recognised = match &resolved {
                        Ok(ResolvedConfig::Config(config)) => class::beside(&named.vae, config),
                        Ok(_) => None,
                        Err(_) => class::beside_invalid(&named.vae, &text),
                    };
                }
                let other = named.recognised.filter(|held| !held.is_class());
                notes.extend(other.map(|held| format!("holds {held}")));
                match (resolved, named.recognised) {
                    (Ok(ResolvedConfig::Config(_)), Some(Recognised::Class(class, _))) => {
                        ResolvedConfig::OtherClass(class.to_owned())
                    }
                    (
                        Ok(ResolvedConfig::Config(_)) | Err(_),
                        Some(Recognised::Under { found, .. }),
                    ) => ResolvedConfig::OtherClass(found.name().to_owned()),
                    (resolved, _) => resolved?,
                }
            }
            (None, Source::Builtin) => {
                let config = VaeConfig::from_json(builtin()?.0, "the built-in config")?;
                ResolvedConfig::Config(with_family(config, options.family)?)
            }
            (None, _) if recipe.is_some() => {
                return Err(Error::checkpoint(
                    origin,
                    "weights by formula have no shapes to read a config off",
                    "put the config.json beside it, or pass one with `config`",
                ));
            }
            (None, _) if named.vae.is_empty() && !damages.is_empty() => ResolvedConfig::Nothing,
            (None, _) => match named.recognised {
                Some(Recognised::Class(class, _)) => ResolvedConfig::OtherClass(class.to_owned()),
                Some(recognised) => {
                    let (problem, next) = recognised.refusal();
                    return Err(Error::new(ErrorKind::Checkpoint, source, problem, next));
                }
                None => ResolvedConfig::from_shapes(
                    &named.vae,
                    &named.others,
                    options.family,
                    origin,
                    &mut notes,
                )?,
            },
        };
        if let (Some(_), ResolvedConfig::Config(config)) = (&recipe, &resolved_config) {
            check_recipe_size(config, origin)?;
        }
        let config = resolved_config.config();
        // What a damaged file does not give is no news.
        if damages.is_empty() && recipe.is_none() {
            let widths = config.and_then(|config| fit::Widths::of(&named.vae).beside(config));
            let half = fit::half(&named.vae).map(str::to_owned);
            // Before the others: the last one may say where the config is from.
            notes.splice(..0, half.into_iter().chain(widths.map(|(widths, _)| widths)));
        }
        notes.splice(..0, config.and_then(idle_note));
        let expected = config.map(expected_tensors).unwrap_or_default();
        let (has_file, asked) = (config_file.is_some(), options.family);
        let (family, family_reason) = resolved_config.family(source, has_file, &notes, asked);
        Ok(Self {
            source: source.clone(),
            revision,
            files,
            damages,
            origins: resolved_config.origins(source, has_file, asked.is_some()),
            family,
            family_reason,
            config_file,
            resolved_config,
            recognised: named.recognised,
            expected,
            tensors: named.vae,
            recipe,
            others: named.others.into_keys().collect(),
            notes,
        })
    }

    /// What `checkpoint` holds, which was opened whole: nothing is read again. Tensors of other models
    /// and the notes are left out.
    pub fn of(checkpoint: &Checkpoint) -> Self {
        let config = checkpoint.config().clone();
        let (source, expected) = (checkpoint.source().clone(), expected_tensors(&config));
        let resolved_config = ResolvedConfig::Config(config);
        let (tensors, recipe) = match checkpoint.weights() {
            Weights::Files(vae) => (vae.clone(), None),
            Weights::Recipe(recipe) => (BTreeMap::new(), Some(recipe.clone())),
        };
        Self {
            revision: checkpoint.revision().map(str::to_owned),
            files: checkpoint.files().to_vec(),
            damages: Vec::new(),
            config_file: None,
            recognised: None,
            expected,
            origins: resolved_config.origins(&source, false, false),
            resolved_config,
            source,
            family: checkpoint.family(),
            family_reason: String::new(),
            tensors,
            recipe,
            others: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Lets go of the memory that `name` takes while its file is mapped; it is read anew when it is
    /// asked for again.
    pub fn forget(&self, name: &str) {
        self.tensors.get(name).into_iter().for_each(Entry::forget);
    }

    /// Where it was found.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The commit that a repository of a hub was at; `None` for all other sources.
    pub fn revision(&self) -> Option<&str> {
        self.revision.as_deref()
    }

    /// The files of the weights, damaged ones included; none for the built-in VAE.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Files that are not whole.
    pub fn damages(&self) -> &[Damage] {
        &self.damages
    }

    /// The config's file, if it has one of its own.
    pub fn config_file(&self) -> Option<&Path> {
        self.config_file.as_deref()
    }

    /// What is known of the config.
    pub fn resolved_config(&self) -> &ResolvedConfig {
        &self.resolved_config
    }

    /// The class that the tensors are of, with the models that it is known by, where their names and
    /// shapes show it to be none that is run, or another than the config's: `an AutoencoderTiny (TAESD)`.
    pub fn recognised_class(&self) -> Option<String> {
        self.recognised.filter(Recognised::is_class).map(|class| class.to_string())
    }

    /// The class that the config names, where the tensors are of another that is run as well.
    pub fn asked_class(&self) -> Option<Class> {
        match self.recognised? {
            Recognised::Under { asked, .. } => Some(asked),
            _ => None,
        }
    }

    /// The config, or what shapes show of it.
    pub fn config(&self) -> Option<&VaeConfig> {
        self.resolved_config.config()
    }

    /// Where each field's value comes from; fields of which nothing is known are left out.
    pub fn origins(&self) -> &BTreeMap<String, Origin> {
        &self.origins
    }

    /// The family, and what tells it.
    pub fn family(&self) -> (Family, &str) {
        (self.family, &self.family_reason)
    }

    /// What the config asks for.
    pub fn expected(&self) -> &[TensorSpec] {
        &self.expected
    }

    /// The VAE's tensors that are there, by diffusers name.
    pub fn tensors(&self) -> Vec<TensorInfo> {
        if self.recipe.is_some() {
            let by_formula = |TensorSpec { name, shape }: &TensorSpec| TensorInfo {
                name: name.clone(),
                shape: shape.clone(),
                dtype: "f32".to_owned(),
                readable: true,
            };
            return self.expected.iter().map(by_formula).collect();
        }
        let info = |(name, entry): (&String, &Entry)| TensorInfo {
            name: name.clone(),
            shape: entry.shape.clone(),
            dtype: entry.encoding.to_string(),
            readable: !matches!(entry.encoding, Encoding::Other(_)),
        };
        self.tensors.iter().map(info).collect()
    }

    /// The values of a tensor that can be read, by its diffusers name.
    pub fn read(&self, name: &str) -> Option<StoredTensor<'_>> {
        if let Some(recipe) = &self.recipe {
            let spec = self.expected.iter().find(|spec| spec.name == name)?;
            return Some(made_by(recipe, spec));
        }
        self.tensors.get(name)?.read()
    }

    /// As [`Checkpoint::check_unchanged`](super::Checkpoint::check_unchanged).
    ///
    /// # Errors
    ///
    /// Returns an error that names the file that was written to.
    pub fn check_unchanged(&self) -> Result<()> {
        tensor_files::check_unchanged(self.tensors.values())
    }

    /// Names of tensors of other models in the same files.
    pub fn others(&self) -> &[String] {
        &self.others
    }

    /// What a user should know: which folder was used, older names, code that was not run.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// Archives whose checksums do not fit the tensors that were read from them.
fn spoilt(vae: &BTreeMap<String, Entry>, files: &[PathBuf]) -> Vec<Damage> {
    let mut checked = HashSet::new();
    let problems: BTreeSet<(String, String)> = vae
        .iter()
        .filter_map(|(name, entry)| {
            Some((entry.verify_checksum(&mut checked).err()?, name.clone()))
        })
        .collect();
    let path = files.first().cloned().unwrap_or_default();
    let damage = |(problem, name): (String, String)| Damage {
        path: path.clone(),
        kind: DamageKind::Checksum,
        problem: format!("{name}: {problem}"),
    };
    problems.into_iter().map(damage).collect()
}

//! Which files of a folder hold the weights, in diffusers' order of preference.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::tensor_files::TensorFile;

use vae_fidelity_core::json_problem;
use vae_fidelity_files::FileFormat;
use vae_fidelity_files::error::{Error, Result, io_reason};
use vae_fidelity_files::input::read_text;

/// diffusers' name for the weights of a model, before any variant and ending.
pub(super) const STEM: &str = "diffusion_pytorch_model";

/// The weights of a folder.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WeightFiles {
    /// One file, all shards of one, or a file for each half.
    Tensors(Vec<TensorFile>),
    /// `recipe.json`: weights by formula.
    Recipe(PathBuf),
}

/// Finds the weights in `folder`, which lies in the checkpoint `root`. With a `variant`, its files
/// come first; when there are none, the plain ones are used and a note says so.
pub(super) fn find(
    folder: &Path,
    root: &Path,
    variant: Option<&str>,
) -> Result<(WeightFiles, Option<String>)> {
    check_variant(variant)?;
    let Some(Chosen { name, is_variant }) = choose(&|name| folder.join(name).exists(), variant)
    else {
        let recipe = folder.join("recipe.json");
        return match recipe.exists() {
            true => Ok((WeightFiles::Recipe(recipe), None)),
            false => Err(no_weights(folder)),
        };
    };
    let note = variant.filter(|_| !is_variant).map(|variant| {
        format!("no weights of variant {variant} in {}: using {name}", folder.display())
    });
    let file = folder.join(&name);
    let files = match is_index(&name) {
        true => shards(&file, folder, root)?,
        false => vec![file],
    };
    let files = files.into_iter().map(TensorFile::plain).collect();
    Ok((WeightFiles::Tensors(files), note))
}

/// Refuses a variant that could lead out of the folder.
pub(super) fn check_variant(variant: Option<&str>) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match variant {
        Some(name) if name.is_empty() || !name.chars().all(plain) || name.contains("..") => {
            Err(Error::option(
                format!("`variant` {name}"),
                "expected a part of a file name, such as fp16",
                "look at the names of the files in the model's folder",
            ))
        }
        _ => Ok(()),
    }
}

/// The weights that diffusers would take from a folder.
pub(super) struct Chosen {
    /// A file's name: the weights themselves, or the index of their shards.
    pub name: String,
    /// Whether it is of the variant that was asked for.
    pub is_variant: bool,
}

/// What diffusers would take of the names that a folder `has`; without the variant, the plain ones.
pub(super) fn choose(has: &dyn Fn(&str) -> bool, variant: Option<&str>) -> Option<Chosen> {
    let first = |variant| names(variant).find(|name| has(name));
    let of_variant = first(variant).map(|name| Chosen { name, is_variant: variant.is_some() });
    of_variant.or_else(|| first(None).map(|name| Chosen { name, is_variant: false }))
}

/// Whether a file that [`choose`] chose names shards.
pub(super) fn is_index(name: &str) -> bool {
    name.ends_with(".json")
}

/// Whether there is anything that [`find`] could use among the names that a folder `has`.
pub(super) fn any_in(has: &dyn Fn(&str) -> bool, variant: Option<&str>) -> bool {
    choose(has, variant).is_some() || has("recipe.json")
}

/// Names of the variant's files in order of preference: an index before a single file, safetensors
/// before pickles. diffusers has put the variant into two places of an index's name.
fn names(variant: Option<&str>) -> impl Iterator<Item = String> {
    ["safetensors", "bin"].into_iter().flat_map(move |ending| match variant {
        None => vec![format!("{STEM}.{ending}.index.json"), format!("{STEM}.{ending}")],
        Some(variant) => vec![
            format!("{STEM}.{ending}.index.{variant}.json"),
            format!("{STEM}.{ending}.{variant}.index.json"),
            format!("{STEM}.{variant}.{ending}"),
        ],
    })
}

/// What diffusers writes beside shards.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The names of the files that `index` names, each once.
///
/// An index comes from whoever made the checkpoint, so its names must be those of files beside it.
pub(super) fn shard_names(index: &Path) -> Result<BTreeSet<String>> {
    let broken = |problem: String| broken_index(index, problem);
    let text = read_text(index).map_err(broken)?;
    let parsed: Index = serde_json::from_str(&text).map_err(|error| {
        broken(format!("is not an index of shards: {}", json_problem::of(&error)))
    })?;
    let names: BTreeSet<String> = parsed.weight_map.into_values().collect();
    if names.is_empty() {
        return Err(broken("names no files".into()));
    }
    for name in &names {
        let is_plain = Path::new(name).file_name().is_some_and(|file| file == name.as_str());
        if !is_plain || name.contains('\\') {
            return Err(broken(format!("names {name:?}, which is not a file beside it")));
        }
    }
    Ok(names)
}

fn broken_index(index: &Path, problem: String) -> Error {
    Error::checkpoint(index, problem, "fetch the index and the files it names again")
}

/// The files that `index` names; links followed, they lie inside the checkpoint.
fn shards(index: &Path, folder: &Path, root: &Path) -> Result<Vec<PathBuf>> {
    let broken = |problem: String| broken_index(index, problem);
    let allowed = places_of(root).map_err(|error| broken(io_reason(&error)))?;
    let mut files = Vec::new();
    for name in shard_names(index)? {
        let file = folder.join(&name);
        let target = file
            .canonicalize()
            .map_err(|error| broken(format!("names {name}: {}", io_reason(&error))))?;
        if !allowed.iter().any(|place| target.starts_with(place)) {
            return Err(broken(format!("names {name}, a link to outside the checkpoint")));
        }
        files.push(file);
    }
    Ok(files)
}

/// Where the files of a checkpoint may lie: below its folder, and for one in a hub cache, whose
/// files are links, in the `blobs` of the same repository, or in those that all repositories of the
/// cache share.
fn places_of(root: &Path) -> std::io::Result<Vec<PathBuf>> {
    let root = root.canonicalize()?;
    let repository = root
        .ancestors()
        .find(|folder| folder.file_name().is_some_and(|name| name == "snapshots"))
        .and_then(|snapshots| snapshots.parent())
        .filter(|repository| {
            let name = repository.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("models--")
        });
    let shared = repository.and_then(Path::parent);
    let blobs = repository.into_iter().chain(shared).map(|folder| folder.join("blobs"));
    Ok(blobs.chain([root.clone()]).collect())
}

/// The error for a folder without weights that can be read here; names what lies there instead.
fn no_weights(folder: &Path) -> Error {
    for name in names(None) {
        let link = folder.join(&name);
        if link.is_symlink() {
            let target = std::fs::read_link(&link).unwrap_or_default();
            let problem = format!("is a link to {}, which is not there", target.display());
            return Error::checkpoint(&link, problem, "copy the file here, or mend the link");
        }
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let others = other_weights(entries.filter_map(|entry| entry.file_name().into_string().ok()));
    if let (None, Some((name, format))) = (others.names.first(), &others.exported) {
        let problem = format!("expected {STEM}.safetensors or {STEM}.bin, found {name}: {format}");
        return Error::checkpoint(folder, problem, format.instead_of_weights());
    }
    let next = match (&others.variant, others.names.first()) {
        (Some(variant), _) => format!("pass `variant` {variant}"),
        (None, Some(name)) => {
            let file = folder.join(name);
            format!("if one of them is the VAE, name it: `repo` {}", file.display())
        }
        (None, None) => "save the VAE with diffusers' save_pretrained(folder)".to_owned(),
    };
    Error::checkpoint(folder, others.problem(), next)
}

/// Weights that [`choose`] does not take.
pub(super) struct OtherWeights {
    /// Names of files.
    pub names: Vec<String>,
    /// The variant that one of them is of.
    pub variant: Option<String>,
    /// A model in another framework's format, by its file's ending.
    pub exported: Option<(String, FileFormat)>,
}

/// Those among `names` that may be weights all the same.
pub(super) fn other_weights(names: impl Iterator<Item = String>) -> OtherWeights {
    let endings = [".bin", ".safetensors", ".ckpt", ".pt", ".pth", ".index.json"];
    let of_others = [
        (".gguf", FileFormat::Gguf),
        (".onnx", FileFormat::Onnx),
        (".msgpack", FileFormat::Msgpack),
        (".h5", FileFormat::Hdf5),
        (".mlmodel", FileFormat::CoreMl),
        (".engine", FileFormat::TensorRt),
        (".plan", FileFormat::TensorRt),
    ];
    let mut exported = None;
    let names: Vec<String> = names
        .filter(|name| {
            let other = of_others.iter().find(|(ending, _)| name.ends_with(ending));
            if let Some(&(_, format)) = other {
                exported.get_or_insert((name.clone(), format));
            }
            endings.iter().any(|ending| name.ends_with(ending))
        })
        .collect();
    let variant = names.iter().find_map(|name| {
        let variant = name.strip_prefix(STEM)?.strip_prefix('.')?;
        let variant = ["safetensors", "bin"]
            .iter()
            .find_map(|end| variant.strip_suffix(end)?.strip_suffix('.'))?;
        // One of its shards: fp16-00002-of-00003.
        Some(variant.split_once('-').map_or(variant, |(variant, _)| variant))
    });
    OtherWeights { variant: variant.map(str::to_owned), names, exported }
}

impl OtherWeights {
    /// What was expected and what there is instead.
    pub fn problem(&self) -> String {
        let found = match self.names.as_slice() {
            [] => "no weights".to_owned(),
            names => names.join(", "),
        };
        format!("expected {STEM}.safetensors or {STEM}.bin, found {found}")
    }
}

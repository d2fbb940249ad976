//! Which files of a folder hold the weights, in diffusers' order of preference.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Error, Result, io_reason};
use crate::input::read_text;

/// diffusers' name for the weights of a model, before any variant and ending.
pub(super) const STEM: &str = "diffusion_pytorch_model";

/// The weights of a folder.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WeightFiles {
    /// One file, or all shards of one.
    Tensors(Vec<PathBuf>),
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
    if let Some(name) = variant {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || !name.chars().all(plain) || name.contains("..") {
            return Err(Error::option(
                format!("--variant {name}"),
                "expected a part of a file name, such as fp16",
                "look at the names of the files in the model's folder",
            ));
        }
    }
    let wanted = first_present(folder, variant);
    let fallback = || first_present(folder, None);
    let Some(file) = wanted.clone().or_else(fallback) else {
        let recipe = folder.join("recipe.json");
        return match recipe.exists() {
            true => Ok((WeightFiles::Recipe(recipe), None)),
            false => Err(no_weights(folder)),
        };
    };
    let note = variant.filter(|_| wanted.is_none()).map(|variant| {
        let used = file.file_name().unwrap_or_default().display();
        format!("no weights of variant {variant} in {}: using {used}", folder.display())
    });
    let files = match file.extension() {
        Some(ending) if ending == "json" => shards(&file, folder, root)?,
        _ => vec![file],
    };
    Ok((WeightFiles::Tensors(files), note))
}

/// Whether there is anything that [`find`] could use.
pub(super) fn any_in(folder: &Path, variant: Option<&str>) -> bool {
    let present = |variant| first_present(folder, variant).is_some();
    present(None)
        || variant.is_some_and(|_| present(variant))
        || folder.join("recipe.json").exists()
}

/// The first file of the variant that is there: an index before a single file, safetensors before
/// pickles. diffusers has put the variant into two places of an index's name.
fn first_present(folder: &Path, variant: Option<&str>) -> Option<PathBuf> {
    let names = ["safetensors", "bin"].into_iter().flat_map(|ending| match variant {
        None => vec![format!("{STEM}.{ending}.index.json"), format!("{STEM}.{ending}")],
        Some(variant) => vec![
            format!("{STEM}.{ending}.index.{variant}.json"),
            format!("{STEM}.{ending}.{variant}.index.json"),
            format!("{STEM}.{variant}.{ending}"),
        ],
    });
    names.map(|name| folder.join(name)).find(|path| path.exists())
}

/// What diffusers writes beside shards.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The files that `index` names, each once.
///
/// An index comes from whoever made the checkpoint, so its names must be those of files beside it
/// that, links followed, lie inside the checkpoint.
fn shards(index: &Path, folder: &Path, root: &Path) -> Result<Vec<PathBuf>> {
    let broken = |problem: String| {
        Error::checkpoint(index, problem, "fetch the index and the files it names again")
    };
    let text = read_text(index).map_err(broken)?;
    let index: Index = serde_json::from_str(&text)
        .map_err(|error| broken(format!("is not an index of shards: {error}")))?;
    let names: BTreeSet<&String> = index.weight_map.values().collect();
    if names.is_empty() {
        return Err(broken("names no files".into()));
    }
    let allowed = places_of(root).map_err(|error| broken(io_reason(&error)))?;
    let mut files = Vec::new();
    for name in names {
        let is_plain = Path::new(name).file_name().is_some_and(|file| file == name.as_str());
        if !is_plain || name.contains('\\') {
            return Err(broken(format!("names {name:?}, which is not a file beside it")));
        }
        let file = folder.join(name);
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
/// files are links, in the cache's `blobs` of the same repository.
fn places_of(root: &Path) -> std::io::Result<Vec<PathBuf>> {
    let root = root.canonicalize()?;
    let blobs = root
        .ancestors()
        .find(|folder| folder.file_name().is_some_and(|name| name == "snapshots"))
        .and_then(|snapshots| snapshots.parent())
        .filter(|repository| {
            let name = repository.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("models--")
        })
        .map(|repository| repository.join("blobs"));
    Ok(blobs.into_iter().chain([root]).collect())
}

/// The error for a folder without weights that can be read here; names what lies there instead.
fn no_weights(folder: &Path) -> Error {
    let others: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| {
            let endings = [".bin", ".safetensors", ".ckpt", ".pt", ".index.json"];
            endings.iter().any(|ending| name.ends_with(ending))
        })
        .collect();
    let variant = others.iter().find_map(|name| {
        let variant = name.strip_prefix(STEM)?.strip_prefix('.')?;
        variant.strip_suffix(".safetensors").or_else(|| variant.strip_suffix(".bin"))
    });
    let (found, next) = match (others.as_slice(), variant) {
        ([], _) => (
            "no weights".to_owned(),
            "save the VAE with diffusers' save_pretrained(folder)".to_owned(),
        ),
        (names, Some(variant)) => (names.join(", "), format!("pass --variant {variant}")),
        (names, None) => (
            names.join(", "),
            format!(
                "if one of them is the VAE, name it: --repo {}",
                folder.join(&names[0]).display()
            ),
        ),
    };
    Error::checkpoint(
        folder,
        format!("expected {STEM}.safetensors or {STEM}.bin, found {found}"),
        next,
    )
}

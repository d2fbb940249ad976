//! Where a VAE comes from, and which files there hold it.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// What `--repo` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The small trained VAE inside the binary.
    Builtin,
    /// A folder on disk in diffusers' layout.
    Folder {
        /// The folder as the user named it.
        path: PathBuf,
        /// Only look here below it; without one, `vae/` and then the folder itself.
        subfolder: Option<String>,
    },
}

impl Source {
    /// Reads `--repo`: `builtin`, or the path of a folder (`./builtin` for one of that name).
    ///
    /// Errors when nothing is there.
    pub fn parse(repo: &str, subfolder: Option<&str>) -> Result<Self> {
        if repo == "builtin" {
            return match subfolder {
                None => Ok(Self::Builtin),
                Some(name) => Err(Error::option(
                    format!("--subfolder {name}"),
                    "the built-in VAE has no subfolders",
                    "leave it out, or name a folder with --repo",
                )),
            };
        }
        let path = PathBuf::from(repo);
        if path.is_dir() {
            return Ok(Self::Folder { path, subfolder: subfolder.map(str::to_owned) });
        }
        let problem = if path.exists() {
            "is a file; this version loads folders in diffusers' layout (vae/config.json beside \
             diffusion_pytorch_model.safetensors)"
        } else {
            "no such folder, and this version does not download from a hub"
        };
        Err(Error::option(
            format!("--repo {repo}"),
            problem,
            "name a folder that holds a diffusers model, or leave --repo out to use the built-in VAE",
        ))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin => f.write_str("builtin"),
            Self::Folder { path, .. } => write!(f, "{}", path.display()),
        }
    }
}

/// The folder below `path` that holds the VAE, and which one it is in words.
pub(super) fn vae_folder(path: &Path, subfolder: Option<&str>) -> Result<(PathBuf, String)> {
    let holds_vae =
        |folder: &Path| folder.join("config.json").is_file() || weights_in(folder).is_some();
    if let Some(name) = subfolder {
        let folder = path.join(name);
        return if holds_vae(&folder) {
            Ok((folder, format!("using the subfolder {name}/")))
        } else {
            Err(Error::checkpoint(
                &folder,
                "expected config.json and diffusion_pytorch_model.safetensors, found neither",
                "name another --subfolder, or leave it out",
            ))
        };
    }
    let below = path.join("vae");
    if holds_vae(&below) {
        return Ok((below, "using the subfolder vae/".into()));
    }
    if holds_vae(path) {
        return Ok((path.to_owned(), "using the folder itself: it has no vae/".into()));
    }
    Err(Error::checkpoint(
        path,
        "expected config.json and diffusion_pytorch_model.safetensors in it or in its vae/, found neither",
        "point --repo at a folder written by diffusers' save_pretrained",
    ))
}

/// A file of weights in a VAE's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WeightsFile {
    Safetensors(PathBuf),
    Recipe(PathBuf),
}

pub(super) fn weights_in(folder: &Path) -> Option<WeightsFile> {
    let safetensors = folder.join("diffusion_pytorch_model.safetensors");
    let recipe = folder.join("recipe.json");
    if safetensors.exists() {
        Some(WeightsFile::Safetensors(safetensors))
    } else if recipe.exists() {
        Some(WeightsFile::Recipe(recipe))
    } else {
        None
    }
}

/// The error for a folder without weights that can be read here; names what lies there instead.
pub(super) fn no_weights(folder: &Path) -> Error {
    let others: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| {
            [".bin", ".safetensors", ".ckpt", ".pt", ".index.json"]
                .iter()
                .any(|ending| name.ends_with(ending))
        })
        .collect();
    let found = match others.as_slice() {
        [] => "no weights".to_owned(),
        names => names.join(", "),
    };
    Error::checkpoint(
        folder,
        format!("expected diffusion_pytorch_model.safetensors, found {found}"),
        "save the VAE with diffusers' save_pretrained(folder, safe_serialization=True)",
    )
}

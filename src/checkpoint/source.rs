//! Where a VAE comes from.

use std::fmt;
use std::path::{Path, PathBuf};

use super::weight_files;
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
    /// One file: a VAE, or a checkpoint that has one among other models.
    File {
        /// The file as the user named it: `.safetensors`, or a pickle of torch's.
        path: PathBuf,
    },
}

impl Source {
    /// Reads `--repo`: `builtin`, or the path of a folder or file (`./builtin` for one of that
    /// name).
    ///
    /// Errors when nothing is there.
    pub fn parse(repo: &str, subfolder: Option<&str>) -> Result<Self> {
        let refuse_subfolder = |what: &str| match subfolder {
            None => Ok(()),
            Some(name) => Err(Error::option(
                format!("--subfolder {name}"),
                format!("{what} has no subfolders"),
                "leave it out, or name a folder with --repo",
            )),
        };
        if repo == "builtin" {
            return refuse_subfolder("the built-in VAE").map(|()| Self::Builtin);
        }
        let path = PathBuf::from(repo);
        if path.is_dir() {
            return Ok(Self::Folder { path, subfolder: subfolder.map(str::to_owned) });
        }
        if path.exists() {
            return refuse_subfolder("a file").map(|()| Self::File { path });
        }
        Err(Error::option(
            format!("--repo {repo}"),
            "no such file or folder, and this version does not download from a hub",
            "name a folder that holds a diffusers model or a file of weights, or leave --repo out \
             to use the built-in VAE",
        ))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin => f.write_str("builtin"),
            Self::Folder { path, .. } | Self::File { path } => write!(f, "{}", path.display()),
        }
    }
}

/// The folder below `path` that holds the VAE, and which one it is in words.
pub(super) fn vae_folder(
    path: &Path,
    subfolder: Option<&str>,
    variant: Option<&str>,
) -> Result<(PathBuf, String)> {
    let holds_vae = |folder: &Path| {
        folder.join("config.json").is_file() || weight_files::any_in(folder, variant)
    };
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
        "point --repo at a folder written by diffusers' save_pretrained, or at a file of weights",
    ))
}

//! Where a VAE comes from.

use std::fmt;
use std::io::ErrorKind as IoErrorKind;
use std::path::{Path, PathBuf};

use super::in_memory::InMemory;
use super::weight_files;
use vae_fidelity_files::FileFormat;
use vae_fidelity_files::error::{Error, Result, io_reason};

/// Where a checkpoint is.
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
    /// A repository of a hub: downloaded to its cache as far as needed.
    Hub {
        /// `OWNER/NAME`, such as `CompVis/stable-diffusion-v1-4`.
        id: String,
        /// A branch, tag or commit; without one, `main`.
        revision: Option<String>,
        /// Only look here in it; without one, `vae/` and then the top.
        subfolder: Option<String>,
    },
    /// Weights in the memory of the process, such as those of a model in Python.
    InMemory {
        /// What it is called in reports and errors.
        name: String,
        /// What its `config.json` would hold; without it, shapes and a family have to say.
        config: Option<String>,
        /// What its file of weights would hold.
        weights: InMemory,
    },
}

impl Source {
    /// Reads `repo`: `builtin`; or else the path of a folder or file (`./builtin` for one of that
    /// name); or else the id of a repository on a hub, `OWNER/NAME`.
    ///
    /// # Errors
    ///
    /// Returns an error if `repo` is none of them, or if it can have no subfolder and one is given.
    pub fn parse(repo: &str, subfolder: Option<&str>) -> Result<Self> {
        let refuse_subfolder = |what: &str| match subfolder {
            None => Ok(()),
            Some(name) => Err(Error::option(
                format!("`subfolder` {name}"),
                format!("{what} has no subfolders"),
                "leave it out, or name a folder with `repo`",
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
        if !is_hub_id(repo) {
            return Err(unknown(repo));
        }
        let subfolder = subfolder.map(str::to_owned);
        Ok(Self::Hub { id: repo.to_owned(), revision: None, subfolder })
    }

    /// As [`Self::parse`], at a branch, tag or commit where one is given.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`] and [`Self::at_revision`] do.
    pub fn parse_at(repo: &str, subfolder: Option<&str>, revision: Option<&str>) -> Result<Self> {
        let source = Self::parse(repo, subfolder)?;
        match revision {
            Some(revision) => source.at_revision(revision),
            None => Ok(source),
        }
    }

    /// Whether it has a config that lies in no file.
    pub(super) fn brings_config(&self) -> bool {
        matches!(self, Self::Builtin | Self::InMemory { config: Some(_), .. })
    }

    /// The same source at a branch, tag or commit.
    ///
    /// # Errors
    ///
    /// Returns an error if the source is no repository of a hub.
    pub fn at_revision(self, revision: &str) -> Result<Self> {
        let what = match self {
            Self::Hub { id, subfolder, .. } => {
                return Ok(Self::Hub { id, revision: Some(revision.to_owned()), subfolder });
            }
            Self::Builtin => "the built-in VAE",
            Self::Folder { .. } => "a folder",
            Self::File { .. } => "a file",
            Self::InMemory { .. } => "a model in memory",
        };
        Err(Error::option(
            format!("`revision` {revision}"),
            format!("{what} has no revisions"),
            "leave it out, or name a repository of a hub with `repo` OWNER/NAME",
        ))
    }
}

/// Whether `text` is `OWNER/NAME` as a hub allows it. (Python also takes a name alone, which no
/// VAE has and which may as well be a folder that is not there.)
pub(super) fn is_hub_id(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_name = |name: &str| {
        name.len() <= 96
            && name.chars().all(|c| word(c) || c == '-' || c == '.')
            && name.starts_with(word)
            && name.ends_with(word)
    };
    text.split_once('/').is_some_and(|(owner, name)| is_name(owner) && is_name(name))
        && !text.contains("--")
        && !text.contains("..")
        && ![".git", ".safetensors", ".bin", ".ckpt", ".pt", ".pth"]
            .iter()
            .any(|end| text.ends_with(end))
}

fn unknown(repo: &str) -> Error {
    let address = ["https://", "http://", "hf://"].iter().find_map(|s| repo.strip_prefix(s));
    let subject = format!("`repo` {repo}");
    if let Some(address) = address {
        return Error::option(
            subject,
            "expected a path or a hub's OWNER/NAME, found an address",
            match address.split('/').skip_while(|part| part.contains('.')).collect::<Vec<_>>()[..] {
                [owner, name, ..] => format!("name the repository alone: `repo` {owner}/{name}"),
                _ => "name the repository alone: `repo` OWNER/NAME".to_owned(),
            },
        );
    }
    Error::option(
        subject,
        "no such file or folder, and no repository of a hub can have this name: those are OWNER/NAME",
        "name a folder that holds a diffusers model, a file of weights, or a repository such as \
         CompVis/stable-diffusion-v1-4; builtin is the built-in VAE",
    )
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin => f.write_str("builtin"),
            Self::Folder { path, .. } | Self::File { path } => write!(f, "{}", path.display()),
            Self::Hub { id, .. } => f.write_str(id),
            Self::InMemory { name, .. } => f.write_str(name),
        }
    }
}

/// The folder below `path` that holds the VAE, and which one it is in words.
pub(super) fn vae_folder(
    path: &Path,
    subfolder: Option<&str>,
    variant: Option<&str>,
) -> Result<(PathBuf, String)> {
    if let Some(name) = vae_place(&|name| path.join(name).exists(), subfolder, variant) {
        let which = match name.as_str() {
            "" => "using the folder itself: it has no vae/".into(),
            name => format!("using the subfolder {name}/"),
        };
        return Ok((path.join(name), which));
    }
    let looked_in = subfolder.map_or(path.to_owned(), |name| path.join(name));
    for folder in [&path.join(subfolder.unwrap_or("vae")), path] {
        // Reading a folder and looking a name up in it are two permissions.
        let read = std::fs::read_dir(folder).map(drop);
        let looked_up = std::fs::metadata(folder.join("config.json")).map(drop);
        let denied = |error: &std::io::Error| error.kind() == IoErrorKind::PermissionDenied;
        if let Some(error) = read.err().filter(denied).or(looked_up.err().filter(denied)) {
            let problem = format!("may not be read: {}", io_reason(&error));
            return Err(Error::checkpoint(folder, problem, "let yourself read the folder"));
        }
    }
    // An .mlpackage is a folder, and so is a SavedModel.
    for (sign, format) in [
        ("Data/com.apple.CoreML", "a Core ML package (.mlpackage)"),
        ("coremldata.bin", "a compiled Core ML model (.mlmodelc)"),
        ("saved_model.pb", "a TensorFlow model (SavedModel)"),
    ] {
        if looked_in.join(sign).exists() {
            let problem = format!("is {format}: an exported model");
            return Err(Error::checkpoint(
                &looked_in,
                problem,
                FileFormat::CoreMl.instead_of_weights(),
            ));
        }
    }
    Err(match subfolder {
        Some(_) => Error::checkpoint(
            &looked_in,
            "expected config.json and diffusion_pytorch_model.safetensors, found neither",
            "name another `subfolder`, or leave it out",
        ),
        None => Error::checkpoint(
            path,
            "expected config.json and diffusion_pytorch_model.safetensors in it or in its vae/, found neither",
            "point `repo` at a folder written by diffusers' save_pretrained, or at a file of weights",
        ),
    })
}

/// Where a checkpoint that `has` files of some names keeps its VAE: a subfolder, or `""` for the
/// checkpoint's own folder. Without `subfolder`, `vae` comes first.
pub(super) fn vae_place(
    has: &dyn Fn(&str) -> bool,
    subfolder: Option<&str>,
    variant: Option<&str>,
) -> Option<String> {
    let places = match subfolder {
        Some(name) => vec![name],
        None => vec!["vae", ""],
    };
    let holds_vae = |place: &&str| {
        let has = |name: &str| has(&in_place(place, name));
        has("config.json") || weight_files::any_in(&has, variant)
    };
    places.into_iter().find(holds_vae).map(str::to_owned)
}

/// The path of the file `name` in a place of [`vae_place`].
pub(super) fn in_place(place: &str, name: &str) -> String {
    match place {
        "" => name.to_owned(),
        place => format!("{}/{name}", place.trim_end_matches('/')),
    }
}

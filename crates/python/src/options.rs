//! Keywords of Python as the library's options.

use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use pyo3::FromPyObject;
use pyo3::pybacked::PyBackedBytes;
use vae_fidelity::checkpoint::{Contents, HubOptions, InMemory, OpenOptions};
use vae_fidelity::config::Family;
use vae_fidelity::report::InspectReport;
use vae_fidelity::{Dtype, Engine, Error, Result};

use super::json::json;

/// Where a checkpoint is, as Python hands it over.
#[derive(FromPyObject)]
pub enum Repo {
    /// `builtin`, a path, or the id of a repository on a hub.
    Named(String),
    /// A model in memory: what it is called, its config as JSON, its weights as a safetensors file.
    InMemory((String, Option<String>, PyBackedBytes)),
}

/// Which checkpoint is meant, beside its name.
#[derive(Clone)]
pub struct Source {
    pub subfolder: Option<String>,
    pub revision: Option<String>,
    pub variant: Option<String>,
    pub key: Option<String>,
    pub config: Option<PathBuf>,
    pub family: Option<String>,
    pub offline: bool,
}

impl Source {
    pub fn located(&self, repo: Repo) -> Result<vae_fidelity::Source> {
        let (subfolder, revision) = (self.subfolder.as_deref(), self.revision.as_deref());
        let (name, config, weights) = match repo {
            Repo::Named(repo) => {
                return vae_fidelity::Source::parse_at(&repo, subfolder, revision);
            }
            Repo::InMemory(model) => model,
        };
        if let Some(name) = subfolder {
            let next = "leave it out: the model is taken as it is";
            let problem = "a model in memory has no subfolders";
            return Err(Error::option(format!("`subfolder` {name}"), problem, next));
        }
        let weights = InMemory::new(weights);
        let source = vae_fidelity::Source::InMemory { name, config, weights };
        revision.map_or(Ok(source.clone()), |revision| source.at_revision(revision))
    }

    pub fn options(&self, source: &vae_fidelity::Source) -> Result<OpenOptions> {
        let family = self.family.as_deref().map(|name| parsed::<Family>("family", name));
        let hub = match source {
            vae_fidelity::Source::Hub { .. } => {
                let mut hub = HubOptions::from_environment(None)?;
                hub.offline |= self.offline;
                Some(hub)
            }
            _ => None,
        };
        Ok(OpenOptions {
            config: self.config.clone(),
            family: family.transpose()?,
            variant: self.variant.clone(),
            key: self.key.clone(),
            hub,
        })
    }

    /// What the checkpoint holds.
    pub fn opened(&self, repo: Repo) -> Result<Contents> {
        let source = self.located(repo)?;
        Contents::open(&source, &self.options(&source)?)
    }

    /// The report of `inspect`, as JSON.
    pub fn inspected(&self, repo: Repo) -> Result<String> {
        let contents = self.opened(repo)?;
        let report = InspectReport::of(&contents)?;
        contents.check_unchanged()?;
        json(&report)
    }
}

/// The value that `text` is of the keyword `name`.
pub fn parsed<T: FromStr<Err: Display>>(name: &str, text: &str) -> Result<T> {
    text.parse().map_err(|problem| {
        Error::option(format!("`{name}` {text}"), problem, "see help(vae_fidelity.Pipeline)")
    })
}

/// The arithmetic by torch's name or the command's.
pub fn dtype(text: &str) -> Result<Dtype> {
    match text {
        "f32" | "fp32" | "float32" => Ok(Dtype::F32),
        "f16" | "fp16" | "float16" | "half" => Ok(Dtype::F16),
        "bf16" | "bfloat16" => Ok(Dtype::Bf16),
        _ => Err(Error::option(
            format!("`dtype` {text}"),
            "expected f32, f16 or bf16",
            "leave it out for f32",
        )),
    }
}

/// The engine by the command's name.
pub fn engine(text: &str) -> Result<Engine> {
    match text {
        "fast" => Ok(Engine::Fast),
        "reference" => Ok(Engine::Reference),
        _ => Err(Error::option(
            format!("`engine` {text}"),
            "expected fast or reference",
            "leave it out for fast, the one that this package has",
        )),
    }
}

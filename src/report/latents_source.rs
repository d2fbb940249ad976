//! Where the user's latents lay, and what that says of their scale.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::json::lossy;
use crate::checkpoint::Container;
use crate::config::Family;
use crate::diagnosis::LatentsScale;

/// The file of the user's latents.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct LatentsSource {
    /// The file.
    #[serde(serialize_with = "lossy")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub path: PathBuf,
    /// The tensor's name in it; `None` where it has none.
    pub tensor: Option<String>,
    /// Who wrote it.
    pub container: Container,
    /// `scaled` or `raw`, as they were taken.
    pub taken_as: &'static str,
    /// Why: `latents_scale` said so, or what the program does that wrote the file.
    pub why: String,
    #[serde(skip)]
    asked: Option<LatentsScale>,
}

impl LatentsSource {
    /// The tensor of a file; `asked` is what the user says of its scale, `None` for what its program does.
    pub fn new(
        path: &Path,
        tensor: Option<String>,
        container: Container,
        asked: Option<LatentsScale>,
    ) -> Self {
        let mut source = Self {
            path: path.to_owned(),
            tensor,
            container,
            taken_as: "",
            why: String::new(),
            asked,
        };
        source.settle(Family::Unknown);
        source
    }

    /// How the latents are scaled, where they are those of a VAE of `family`.
    pub fn settle(&mut self, family: Family) -> LatentsScale {
        let scale = self.asked.unwrap_or(match self.container.is_scaled(family) {
            true => LatentsScale::Scaled,
            false => LatentsScale::Raw,
        });
        self.taken_as = match scale {
            LatentsScale::Scaled => "scaled",
            LatentsScale::Raw => "raw",
        };
        self.why = match self.asked {
            Some(_) => "`latents_scale` says so".to_owned(),
            None => self.container.reason(family).to_owned(),
        };
        scale
    }

    /// The same for a reader; `None` for a plain file of one tensor, which needs no word.
    pub fn note(&self) -> Option<String> {
        if self.container == Container::Plain || self.asked.is_some() {
            return None;
        }
        let tensor = self.tensor.as_ref().map(|name| format!("{name}, ")).unwrap_or_default();
        let drawn = match self.container.is_drawn() {
            true => "; it keeps draws from the posterior",
            false => "",
        };
        Some(format!(
            "your latents are {tensor}{} and taken as {}, since {}{drawn}; `latents_scale` says otherwise",
            self.container, self.taken_as, self.why
        ))
    }
}

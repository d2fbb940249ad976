//! How a source is opened.

use std::path::PathBuf;

use vae_fidelity_core::config::Family;
use vae_fidelity_files::error::{Error, Result};

#[cfg(feature = "hub")]
use super::hub::HubOptions;

/// What a user can say about a source beside its name.
#[derive(Debug, Clone, Default)]
pub struct OpenOptions {
    /// A file that replaces the source's `config.json`, or supplies one.
    pub config: Option<PathBuf>,
    /// The family whose published scaling replaces that of `config.json`, or supplies it; checked
    /// against the graph.
    pub family: Option<Family>,
    /// The variant of the weights to prefer in a folder, such as `fp16`.
    pub variant: Option<String>,
    /// Where in the file the VAE lies, for one that holds several: the names of dicts within each other,
    /// or what stands before the names of its tensors, such as `ema` or `model.vae`.
    pub key: Option<String>,
    /// How a hub is reached, for a source on one; `None` leaves it to the environment
    /// ([`HubOptions::from_environment`]).
    #[cfg(feature = "hub")]
    pub hub: Option<HubOptions>,
}

impl OpenOptions {
    /// Refuses a key into what has none, for the reason given.
    pub(super) fn refuse_key(&self, why: &str) -> Result<()> {
        let Some(key) = &self.key else { return Ok(()) };
        Err(Error::option(format!("`key` {key}"), why, "leave it out"))
    }

    /// Refuses a variant of what has none, for the reason given; `next` says what to do instead.
    pub(super) fn refuse_variant(&self, why: &str, next: &str) -> Result<()> {
        let Some(variant) = &self.variant else { return Ok(()) };
        Err(Error::option(format!("`variant` {variant}"), why, next))
    }

    /// Refuses a config together with a family.
    pub(super) fn check(&self) -> Result<()> {
        let (Some(config), Some(family)) = (&self.config, self.family) else { return Ok(()) };
        Err(Error::option(
            format!("`family` {family}"),
            format!("`config` {} says the same and more", config.display()),
            "leave one of them out",
        ))
    }
}

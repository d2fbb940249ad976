//! Which checkpoint is meant: the flags that are the same for every command.

use std::path::PathBuf;

use crate::Result;
use crate::checkpoint::{HubOptions, HubProgress, OpenOptions, Source};
use crate::config::Family;
use crate::pipeline::PipelineBuilder;
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::shared_args::HubArgs;

/// What a user can say about a checkpoint beside its name.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// The folder below the source that holds the VAE [default: vae, else the source itself]
    #[arg(long, value_name = "NAME")]
    pub subfolder: Option<String>,
    /// Weights of this variant, such as fp16, if the folder has them
    #[arg(long, value_name = "NAME")]
    pub variant: Option<String>,
    /// Where the VAE lies in a file that holds several, such as ema or model.vae: keys of dicts within
    /// each other, or what stands before the names of its tensors
    #[arg(long, value_name = "NAME")]
    pub key: Option<String>,
    /// A config.json in place of the one beside the weights, or for a file that has none
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The family whose published scaling holds, in place of config.json's or for a file that has
    /// none
    #[arg(long, value_name = "NAME", conflicts_with = "config", value_parser = family())]
    pub family: Option<Family>,
    #[command(flatten)]
    pub hub: HubArgs,
}

impl SourceArgs {
    /// What `repo`, `--subfolder` and `--revision` name together.
    pub fn source(&self, repo: &str) -> Result<Source> {
        Source::parse_at(repo, self.subfolder.as_deref(), self.hub.revision.as_deref())
    }

    /// The same pipeline, of what `--subfolder` and `--revision` name.
    pub fn applied(&self, mut builder: PipelineBuilder) -> PipelineBuilder {
        if let Some(name) = &self.subfolder {
            builder = builder.subfolder(name);
        }
        if let Some(revision) = &self.hub.revision {
            builder = builder.revision(revision);
        }
        builder
    }

    /// How `source` is to be opened; `progress` shows what is downloaded.
    pub fn options(&self, source: &Source, progress: HubProgress) -> Result<OpenOptions> {
        Ok(OpenOptions {
            config: self.config.clone(),
            family: self.family,
            variant: self.variant.clone(),
            key: self.key.clone(),
            hub: self.hub_options(source, progress)?,
        })
    }

    /// For a source on a hub: the environment's options with those of the command line.
    fn hub_options(&self, source: &Source, progress: HubProgress) -> Result<Option<HubOptions>> {
        if !matches!(source, Source::Hub { .. }) {
            return Ok(None);
        }
        let mut options = HubOptions::from_environment(self.hub.hf_token_env.as_deref())?;
        options.offline |= self.hub.offline;
        options.progress = Some(progress);
        Ok(Some(options))
    }
}

fn family() -> impl TypedValueParser<Value = Family> {
    let named = |family: Family| PossibleValue::new(family.name()).help(family.models());
    PossibleValuesParser::new(Family::PUBLISHED.map(named)).try_map(|name| name.parse::<Family>())
}

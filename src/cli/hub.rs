//! Sources on a hub: the flags about them.

use vae_fidelity::Result;
use vae_fidelity::checkpoint::{HubOptions, Source};

use super::args::HubArgs;
use super::progress::Progress;

/// What `--repo`, `--subfolder` and `--revision` name together.
pub fn source(repo: &str, subfolder: Option<&str>, args: &HubArgs) -> Result<Source> {
    let source = Source::parse(repo, subfolder)?;
    match &args.revision {
        Some(revision) => source.at_revision(revision),
        None => Ok(source),
    }
}

/// For a source on a hub: the environment's options with those of the command line. `progress`
/// shows what is done.
pub fn hub_options(
    source: &Source,
    args: &HubArgs,
    progress: &Progress,
) -> Result<Option<HubOptions>> {
    if !matches!(source, Source::Hub { .. }) {
        return Ok(None);
    }
    let mut options = HubOptions::from_environment(args.hf_token_env.as_deref())?;
    options.offline |= args.offline;
    options.progress = Some(progress.of_hub());
    Ok(Some(options))
}

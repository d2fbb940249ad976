//! The flags of `probe`.

use std::path::PathBuf;

use clap::Args;

use super::ci_args::CiArgs;
use super::run_args::ModelArgs;

/// Send synthetic charts through a VAE, and judge what comes back; needs no data
///
/// Flat greys, ramps, rings, slanted edges, colours, text, checkers and points are drawn, encoded and
/// decoded, and a mosaic of them ten times in a row. Each number is held against what sound VAEs have:
/// grid, evenness, colour (CIEDE2000), tone, resolution (MTF50), ringing, drift, and more. The score is
/// the room to the nearest bar in dB. Exit code 0: no bar is missed; 1: one is, or what was decoded is
/// broken; 2: could not judge.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub struct ProbeArgs {
    #[command(flatten)]
    pub model: ModelArgs,

    /// Pixels a side of the charts: a multiple of 64 from 128 on [default: 256]
    #[arg(long, value_name = "N", value_parser = size, allow_negative_numbers = true)]
    pub size: Option<usize>,
    /// Save every chart beside what came back of it in one picture, as PNG
    #[arg(long, short_alias = 'o', alias = "output", value_name = "F.png")]
    pub out: Option<PathBuf>,
    /// Save the card with all charts as a page for a browser, in one file
    #[arg(long, value_name = "F.html")]
    pub report: Option<PathBuf>,
    #[command(flatten)]
    pub ci: CiArgs,
}

fn size(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "expected a multiple of 64, at least 128".to_owned())
}

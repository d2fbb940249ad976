//! Flags and values that several commands have in common.

use clap::Args;

use crate::verdict::Thresholds;

/// How a hub is asked, for a source on one.
#[derive(Debug, Clone, Args)]
pub struct HubArgs {
    /// The branch, tag or commit of a repository on a hub [default: main]
    #[arg(long, value_name = "REV")]
    pub revision: Option<String>,
    /// Never ask the hub: use what is in its cache
    #[arg(long)]
    pub offline: bool,
    /// The environment variable with the token that the hub is shown [default: HF_TOKEN, else the
    /// file of `hf auth login`]
    #[arg(long, alias = "hf_token_env", value_name = "NAME")]
    pub hf_token_env: Option<String>,
}

/// What two pictures must at least reach.
#[derive(Debug, Clone, Copy, Args)]
pub struct LeastArgs {
    /// Pictures: fail below this PSNR, in dB
    #[arg(long, value_name = "DB", value_parser = finite, allow_negative_numbers = true)]
    pub min_psnr: Option<f64>,
    /// Pictures: fail below this SSIM (1 is identical); needs 11 x 11 pixels
    #[arg(long, value_name = "X", value_parser = at_most_one, allow_negative_numbers = true)]
    pub min_ssim: Option<f64>,
    /// Pictures: fail below this MS-SSIM (1 is identical); needs 176 x 176 pixels
    #[arg(long, value_name = "X", value_parser = at_most_one, allow_negative_numbers = true)]
    pub min_ms_ssim: Option<f64>,
}

impl LeastArgs {
    /// As the library takes them.
    pub fn thresholds(self) -> Thresholds {
        let Self { min_psnr, min_ssim, min_ms_ssim } = self;
        Thresholds { min_psnr, min_ssim, min_ms_ssim }
    }
}

fn finite(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err("expected a finite number".to_owned()),
    }
}

pub fn not_negative(text: &str) -> Result<f64, String> {
    match finite(text)? {
        number if number >= 0.0 => Ok(number),
        _ => Err("expected a number of at least 0".to_owned()),
    }
}

fn at_most_one(text: &str) -> Result<f64, String> {
    match finite(text)? {
        number if number <= 1.0 => Ok(number),
        _ => Err("expected a number of at most 1".to_owned()),
    }
}

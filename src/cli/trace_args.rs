//! The flags of `trace`.

use std::path::PathBuf;

use clap::Args;

use super::ci_args::CiArgs;
use super::run_args::RunArgs;
use super::shared_args::not_negative;

/// Show what every layer of a VAE puts out, and where it parts from another trace
///
/// The picture is encoded and decoded as check does it. Each layer has diffusers' name of its
/// module, its shape, statistics, and the room it leaves to f16's largest value. Exit code 0: all
/// is finite, and no layer differs from --against beyond rounding; 1: one does; 2: could not judge.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub struct TraceArgs {
    /// The picture
    #[arg(value_name = "IMAGE")]
    pub image: PathBuf,

    #[command(flatten)]
    pub run: RunArgs,

    /// Save the trace as JSON: shapes, statistics, a SHA-256 and sampled values of every layer
    #[arg(long, value_name = "F.json")]
    pub save_trace: Option<PathBuf>,
    /// Compare with this trace, of this VAE and picture by any program: the first layer that
    /// differs beyond rounding is named
    #[arg(long, value_name = "TRACE")]
    pub against: Option<PathBuf>,
    /// What counts as rounding: ATOL standard deviations of a layer + RTOL of the value [default:
    /// measured, for f32 on the CPU]
    #[arg(long, value_name = "ATOL", value_parser = not_negative, requires = "against", allow_negative_numbers = true)]
    pub atol: Option<f64>,
    /// See --atol
    #[arg(long, value_name = "RTOL", value_parser = not_negative, requires = "against", allow_negative_numbers = true)]
    pub rtol: Option<f64>,
    #[command(flatten)]
    pub ci: CiArgs,
}

//! The command line as the user types it: names, defaults and meanings, nothing done yet.

use std::path::PathBuf;

use crate::autoencoder_kl::DeviceChoice;
use crate::golden::TensorFormat;
use clap::{Args, CommandFactory, Parser, Subcommand};

use super::ci_args::CiArgs;
use super::engine::EngineChoice;
use super::run_args::DtypeChoice;
use super::shared_args::{LeastArgs, not_negative};
use super::version;

/// Says whether a latent-diffusion VAE works, and when it does not, what is wrong.
///
/// Exit codes: 0 pass, 1 judged and failed, 2 could not judge.
#[derive(Debug, Parser)]
#[command(name = "vae-fidelity")]
#[command(version = version::SHORT, long_version = version::LONG)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub style: Style,
}

/// The command line as clap knows it: what shell completions and man pages are generated from.
pub fn command() -> clap::Command {
    Cli::command()
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Check(Box<super::check_args::CheckArgs>),
    Trace(Box<super::trace_args::TraceArgs>),
    Decode(Box<super::decode_args::DecodeArgs>),
    Probe(Box<super::probe_args::ProbeArgs>),
    #[cfg(feature = "evaluate")]
    Evaluate(Box<super::evaluate_args::EvaluateArgs>),
    #[cfg(feature = "evaluate")]
    Merge(super::evaluate_args::MergeArgs),
    #[cfg(feature = "evaluate")]
    ExplainGap(super::evaluate_args::ExplainGapArgs),
    Compare(CompareArgs),
    Inspect(super::inspect_args::InspectArgs),
    Explain(ExplainArgs),
    #[command(subcommand)]
    Golden(GoldenCommand),
}

/// How results are printed; the same for every command.
#[derive(Debug, Clone, Copy, Args)]
pub struct Style {
    /// Print one JSON object a line on stdout, and nothing else there
    #[arg(long, global = true, display_order = 900)]
    pub json: bool,
    /// Print no text and no notes: errors only. With --json the objects still come
    #[arg(long, short, global = true, display_order = 901)]
    pub quiet: bool,
    /// Leave the folders of this machine out of results: files are named from the nearest folder of
    /// the arguments, or from the working or the home directory
    #[arg(long, global = true, display_order = 902)]
    pub strip_paths: bool,
}

/// Compare two pictures, or two files of tensors
///
/// A is judged, B is what it is held against. Files that end in .safetensors or .npy are tensors,
/// all others are pictures. Exit code 0: identical, or within what was asked; 1: different, also
/// in size or shape; 2: could not compare. NaN and infinity equal nothing.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub struct CompareArgs {
    /// The file that is judged
    pub a: PathBuf,
    /// The file that it is held against
    pub b: PathBuf,
    #[command(flatten)]
    pub least: LeastArgs,
    /// Pictures: save where A and B differ to the eye, with a scale, as PNG
    #[arg(long, value_name = "F.png")]
    pub heatmap: Option<PathBuf>,
    /// Pictures: save A, B and their difference in one picture, as PNG
    #[arg(long, value_name = "F.png")]
    pub montage: Option<PathBuf>,
    /// Tensors: |a - b| may be at most ATOL + RTOL * |b| [default: 0 if --rtol is given]
    #[arg(long, value_parser = not_negative)]
    pub atol: Option<f64>,
    /// Tensors: see --atol [default: 0 if --atol is given]
    #[arg(long, value_parser = not_negative)]
    pub rtol: Option<f64>,
    #[command(flatten)]
    pub ci: CiArgs,
}

/// Say what a finding means, how it is decided, and how to mend it
///
/// Codes are those of the findings that check prints, such as channel-swap.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The code of a finding [default: list them all]
    pub code: Option<String>,
}

/// Judge this crate against what the reference implementation wrote
#[derive(Debug, Subcommand)]
pub enum GoldenCommand {
    /// List the cases
    List(GoldenArgs),
    /// Compare every step of every case: of this crate's model, or of files from another program
    ///
    /// Without --candidate, runs this crate's model, each case in its own dtype; the whole suite takes
    /// minutes.
    /// Exit code 0: every case passed; 1: some failed; 2: could not judge.
    Verify(VerifyArgs),
    /// Write inputs, weights and instructions for a port in any language into a new folder
    ///
    /// What the port makes of them is judged by golden verify --candidate.
    Export(ExportArgs),
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    pub suite: GoldenArgs,
    /// Judge the files DIR/<case>/{moments,latents,decoded}.{safetensors,npy} and decoded.png
    #[arg(long, value_name = "DIR")]
    pub candidate: Option<PathBuf>,
    /// Which of this crate's implementations is judged
    #[arg(long, value_enum, default_value_t, conflicts_with = "candidate")]
    pub engine: EngineChoice,
    /// Where it runs: cpu, cuda, cuda:N or mps; on CUDA in f32 without TF32. Cases that are for CUDA run
    /// there in any case
    #[arg(long, value_name = "DEVICE", default_value = "cpu", conflicts_with = "candidate")]
    pub device: DeviceChoice,
    /// On CUDA in f32, let convolutions round to TF32, as torch does unless it is told otherwise: far
    /// beyond the tolerances
    #[arg(long, conflicts_with = "candidate")]
    pub tf32: bool,
    /// The dtypes of the cases to run: f32, f16, bf16 [default: all that the suite has]
    #[arg(long, value_enum, value_delimiter = ',', conflicts_with = "candidate")]
    pub dtype: Vec<DtypeChoice>,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The folder to write; it must be new or empty
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    #[command(flatten)]
    pub suite: GoldenArgs,
    /// How tensors are written: safetensors, npy or both
    #[arg(long, value_name = "FORMAT", default_value = "safetensors")]
    pub format: TensorFormat,
}

#[derive(Debug, Args)]
pub struct GoldenArgs {
    /// The suite's folder [default: ./golden, else the one this binary was built beside]
    #[arg(long, value_name = "DIR")]
    pub golden: Option<PathBuf>,
    /// Only the cases of this model, or the case of this name; may be repeated
    #[arg(long, value_name = "MODEL|CASE")]
    pub only: Vec<String>,
}

//! The flags of `evaluate` and `merge`.

use std::path::PathBuf;

use clap::Args;

use crate::evaluation::Shard;

use super::run_args::ExecutionArgs;
use super::shared_args::LeastArgs;
use super::source_args::SourceArgs;

/// Judge VAEs by a data set: PSNR, SSIM, latents and the scaling that they ask for, by a named protocol
///
/// Every picture goes through every VAE. DIR gets rows.parquet (a row for each picture and VAE),
/// latents.parquet, result.json, report.html, protocol.toml and the worst pictures. Stopped and started
/// again, it goes on. The result is the same to the bit for any number of shards, in any order, and with
/// any number of --threads (--engine fast). Exit code 0: all pictures were judged; 1: something that was
/// asked for (--min-psnr, ...) is missed; 2: a picture could not be judged, or nothing could.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub struct EvaluateArgs {
    /// A folder of pictures with all below it, a list of paths (.txt), a tar archive as webdataset has
    /// it, or a parquet file with columns of pictures as Python's datasets writes them. A folder may
    /// hold archives and parquet files, too
    #[arg(value_name = "DATA")]
    pub data: PathBuf,
    /// A VAE, as for check; may be repeated: each further one is held against the first [default: builtin]
    #[arg(long, aliases = ["vae", "model"], value_name = "SOURCE", default_value = "builtin", hide_default_value = true)]
    pub repo: Vec<String>,
    /// The folder to write: a new one, or one in which the same evaluation was stopped
    #[arg(long, short_alias = 'o', alias = "output", value_name = "DIR")]
    pub out: PathBuf,
    /// Every choice that changes a number: vae-fidelity (pictures as check sees them), vae-fidelity-256,
    /// llamagen, lightningdit, dc-ae, lavinal712, torch-fidelity, or a TOML file
    #[arg(long, value_name = "NAME|F.toml", default_value = "vae-fidelity")]
    pub protocol: String,
    /// Only part I, from 0, of N; merge puts the folders of all parts together
    #[arg(long, value_name = "I/N", default_value = "0/1")]
    pub shard: Shard,
    /// The folder with the weights of LPIPS, DISTS and rFID, under the names by which they were published:
    /// torchvision's alexnet-*.pth, vgg16-*.pth, squeezenet1_1-*.pth, alex.pth, vgg.pth, squeeze.pth of the package
    /// lpips, version 0.1, DISTS_pytorch/weights.pt, and pt_inception-2015-12-05-*.pth. What torch has downloaded
    /// is found without it; what is nowhere is left out
    #[arg(long, value_name = "DIR")]
    pub metric_weights: Option<PathBuf>,
    /// What rFID is held against in place of what went in: an .npz with mu and sigma, as pytorch-fid's --save-stats
    /// writes it, or features/input.npy of another result; of features by the same rfid as the protocol's
    #[arg(long, value_name = "FILE")]
    pub reference: Option<PathBuf>,
    #[command(flatten)]
    pub least: LeastArgs,
    #[command(flatten)]
    pub about: SourceArgs,
    #[command(flatten)]
    pub execution: ExecutionArgs,
}

/// Put the shards of an evaluation together
///
/// In any order, the result is that of one run over the whole data set, to the bit. Shards that are
/// missing, there twice, not finished, or of another evaluation are named. Exit codes as for evaluate.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub struct MergeArgs {
    /// The folders of all shards
    #[arg(value_name = "DIR", required = true)]
    pub folders: Vec<PathBuf>,
    /// The folder to write: a new one
    #[arg(long, short_alias = 'o', alias = "output", value_name = "DIR")]
    pub out: PathBuf,
    /// What rFID is held against in place of what went in, as for evaluate; shards do not need it
    #[arg(long, value_name = "FILE")]
    pub reference: Option<PathBuf>,
    #[command(flatten)]
    pub least: LeastArgs,
}

/// Say which choices make the results of two evaluations differ, and by how much each
///
/// On a sample of the pictures every choice in which the protocols differ (and the VAE, and the pictures, where
/// those do) is changed from A's to B's, one after the other, in two orders; an effect is the mean of the two.
/// Exit code 0: at least 95 % of each metric's gap is explained; 1: more pictures are needed; 2: a result, its
/// pictures or its VAE cannot be had.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub struct ExplainGapArgs {
    /// A result.json, or the folder that evaluate or merge wrote
    #[arg(value_name = "A")]
    pub a: PathBuf,
    /// Another one
    #[arg(value_name = "B")]
    pub b: PathBuf,
    /// Where the pictures lie now [default: where the results say]; twice for A's and B's
    #[arg(long, value_name = "DATA")]
    pub data: Vec<PathBuf>,
    /// The VAE [default: what the results say]; twice for A's and B's
    #[arg(long, aliases = ["vae", "model"], value_name = "SOURCE")]
    pub repo: Vec<String>,
    /// Which of A's models, from 0
    #[arg(long, value_name = "INDEX", default_value_t = 0, value_parser = index)]
    pub model_a: usize,
    /// Which of B's models, from 0
    #[arg(long, value_name = "INDEX", default_value_t = 0, value_parser = index)]
    pub model_b: usize,
    /// At most this many pictures, evenly through the data set
    #[arg(long, value_name = "COUNT", default_value = "64", value_parser = at_least_one)]
    pub sample: usize,
    /// The folder with the weights of LPIPS and DISTS, as for evaluate; without them they are left out
    #[arg(long, value_name = "DIR")]
    pub metric_weights: Option<PathBuf>,
    #[command(flatten)]
    pub execution: ExecutionArgs,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..) => Ok(count),
        _ => Err("expected a whole number of at least 1".to_owned()),
    }
}

fn index(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "expected a whole number of at least 0".to_owned())
}

//! The flags of `inspect`.

use clap::Args;

use super::ci_args::CiArgs;
use super::source_args::SourceArgs;

/// Look into a checkpoint without running it, or say what differs between two
///
/// Prints the config with its defaults, the family, files with their SHA-256, tensors that are
/// missing, unexpected or of another shape, and what the weights look like: zero, not finite, or never
/// trained. Exit code 0: nothing is wrong; 1: something is; 2: could not judge. With two sources:
/// 0 identical to the bit, 1 different, and what makes the one of the other: a factor, another order,
/// exchanged names, quantisation; with a third, how the second is mixed of the other two. The flags
/// hold for all, but for those of the other.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub struct InspectArgs {
    /// builtin, a folder in diffusers' layout, a file (.safetensors, .bin, .pt, .ckpt), or a
    /// repository of a hub, such as CompVis/stable-diffusion-v1-4
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// A second one, to be held against the first
    #[arg(value_name = "SOURCE")]
    pub other: Option<String>,
    /// A third one, of which the second may be a merge with the first
    #[arg(value_name = "SOURCE")]
    pub third: Option<String>,
    /// Weights of this variant of the second source [default: --variant]
    #[arg(long, value_name = "NAME", requires = "other")]
    pub other_variant: Option<String>,
    /// Where the VAE lies in the second source's file [default: --key]
    #[arg(long, value_name = "NAME", requires = "other")]
    pub other_key: Option<String>,
    /// List every tensor with its values in numbers
    #[arg(long)]
    pub tensors: bool,
    #[command(flatten)]
    pub about: SourceArgs,
    #[command(flatten)]
    pub ci: CiArgs,
}

//! The flags of `decode`.

use std::path::PathBuf;

use clap::Args;

use super::ci_args::CiArgs;
use super::run_args::{ModelArgs, SplittingArgs};
use super::user_files::Scale;

/// Decode latents to a picture, and judge them without the picture that they were made from
///
/// The picture is encoded again: what a VAE decodes, it encodes to nearly the same latents, unless they
/// were scaled by another factor, have their axes mixed up, or are another VAE's. A file of several
/// pictures or frames gives a result for each.
#[derive(Debug, Args)]
#[command(args_override_self = true)]
pub struct DecodeArgs {
    /// Latents (.safetensors, .npy, .npz, .pt, ComfyUI's .latent): the only tensor of the file, the one
    /// named latents, or where its program puts them
    #[arg(value_name = "LATENTS")]
    pub latents: PathBuf,
    /// The name of the tensor, where the file has several
    #[arg(long, value_name = "NAME")]
    pub latents_key: Option<String>,
    /// Whether they are scaled for diffusion, or as the model makes them; auto is what the program that
    /// wrote the file does, and scaled for a plain one
    #[arg(long, value_enum, default_value_t = Scale::Auto)]
    pub latents_scale: Scale,
    /// The picture that your own pipeline decoded from them, to be diagnosed
    #[arg(long, value_name = "F")]
    pub decoded_image: Option<PathBuf>,

    /// Where the decoded picture goes, as PNG [default: decoded.png]
    #[arg(
        long,
        short_alias = 'o',
        alias = "output",
        value_name = "F.png",
        conflicts_with = "out_dir"
    )]
    pub out: Option<PathBuf>,
    /// Where the pictures of a file of several go: the file's name with the number of each from 0,
    /// ending in .png; created if missing
    #[arg(long, value_name = "DIR")]
    pub out_dir: Option<PathBuf>,
    /// Save the tensor decoded, before clamping
    #[arg(long, value_name = "F.safetensors")]
    pub save_decoded: Option<PathBuf>,

    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub splitting: SplittingArgs,
    #[command(flatten)]
    pub ci: CiArgs,
}

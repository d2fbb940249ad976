//! The flags of `check`: those of the reference script in its meaning, and more.

use std::path::PathBuf;

use clap::Args;

use crate::config::FRAMES_OF_A_LATENT;

use super::ci_args::CiArgs;
use super::run_args::{RunArgs, SplittingArgs};
use super::shared_args::LeastArgs;
use super::user_files::FilesArgs;

/// Encode and decode pictures, and judge what comes back
///
/// Each picture is converted to RGB and resized as Pillow does it, encoded, decoded, written, and
/// compared with what the VAE saw. The verdict is fail if something is broken (NaN or infinity in
/// what the VAE made), or if --min-psnr, --min-ssim or --min-ms-ssim is missed.
#[derive(Debug, Args)]
#[command(
    args_override_self = true,
    after_help = "The built-in VAE is small and is there to try the tool; name the one to \
                        judge with --repo."
)]
pub struct CheckArgs {
    /// Pictures to judge; a folder for all in it, - for paths on standard input, one a line
    #[arg(value_name = "IMAGE")]
    pub images: Vec<PathBuf>,
    /// A picture to judge, the same as naming it alone
    #[arg(long = "image", value_name = "F")]
    pub image_flags: Vec<PathBuf>,

    /// Where the decoded picture goes, as PNG [default: decoded.png]
    #[arg(
        long,
        short_alias = 'o',
        alias = "output",
        value_name = "F.png",
        conflicts_with = "out_dir"
    )]
    pub out: Option<PathBuf>,
    /// Where decoded pictures go under the names of their inputs, ending in .png; created if
    /// missing
    #[arg(long, value_name = "DIR")]
    pub out_dir: Option<PathBuf>,

    #[command(flatten)]
    pub run: RunArgs,

    #[command(flatten)]
    pub splitting: SplittingArgs,
    /// One picture of a batch at a time, as diffusers' enable_slicing() does; check sends one anyway
    #[arg(long)]
    pub slicing: bool,

    /// Also send a clip through, of so many frames (5, 9, 13, ...): the first of an animation (GIF, PNG, WebP) or
    /// of a folder, or a still picture again and again. All else is of the first frame; files hold the clip
    #[arg(long, value_name = "N", value_parser = frames, allow_negative_numbers = true)]
    pub frames: Option<usize>,

    /// Save what the VAE saw, as PNG
    #[arg(long, value_name = "F.png")]
    pub save_input: Option<PathBuf>,
    /// Save the tensors latents (scaled), moments, and noise if sampled
    #[arg(long, value_name = "F.safetensors")]
    pub save_latents: Option<PathBuf>,
    /// Save the tensor decoded, before clamping
    #[arg(long, value_name = "F.safetensors")]
    pub save_decoded: Option<PathBuf>,

    /// Save a trace of every layer: shapes, statistics and sampled values, as JSON
    #[arg(long, value_name = "F.json", conflicts_with = "tiling")]
    pub save_trace: Option<PathBuf>,

    /// Save where input and output differ to the eye, with a scale, as PNG
    #[arg(long, value_name = "F.png")]
    pub heatmap: Option<PathBuf>,
    /// Save input, output and their difference in one picture, as PNG
    #[arg(long, value_name = "F.png")]
    pub montage: Option<PathBuf>,
    /// Save all of this as a page for a browser: pictures, latents, layers, findings, in one file
    #[arg(long, value_name = "F.html")]
    pub report: Option<PathBuf>,
    /// Draw input, output and their difference in the terminal
    #[arg(long)]
    pub show: bool,

    /// Also run on the CPU in f32, and name the first layer that differs; without libtorch, compare
    /// the vector kernels with plain ones, which takes twelve times as long as the run itself
    #[arg(long)]
    pub cross_check: bool,
    /// Also say what f16 and bf16 would do: overflow, head-room, and PSNR
    #[arg(long, conflicts_with = "tiling")]
    pub forecast: bool,
    #[command(flatten)]
    pub files: FilesArgs,

    #[command(flatten)]
    pub least: LeastArgs,
    /// Fail where PSNR or SSIM fall below those of an earlier --json, or an error is new
    #[arg(long, value_name = "RUN.json")]
    pub baseline: Option<PathBuf>,
    #[command(flatten)]
    pub ci: CiArgs,
}

fn frames(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 1 && count % FRAMES_OF_A_LATENT == 1 => Ok(count),
        _ => Err("expected one more than a multiple of 4: 5, 9, 13, ...".to_owned()),
    }
}

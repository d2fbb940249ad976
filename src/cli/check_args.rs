//! The flags of `check`: those of the gist in the gist's meaning, and more.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use vae_fidelity::Dtype;
use vae_fidelity::autoencoder_kl::DeviceChoice;

use super::args::LeastArgs;
use super::byte_size::ByteSize;
use super::engine::Engine;
use super::source_args::SourceArgs;
use super::user_files::FilesArgs;

/// Encode and decode pictures, and judge what comes back
///
/// Each picture is converted to RGB and resized as Pillow does it, encoded, decoded, written, and
/// compared with what the VAE saw. The verdict is fail if something is broken (NaN or infinity in
/// what the VAE made), or if --min-psnr or --min-ssim is missed.
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
    #[arg(long, value_name = "F.png", conflicts_with = "out_dir")]
    pub out: Option<PathBuf>,
    /// Where decoded pictures go under the names of their inputs, ending in .png; created if
    /// missing
    #[arg(long, value_name = "DIR")]
    pub out_dir: Option<PathBuf>,

    /// Encode at this width, a multiple of 8; needs --height [default: down to a multiple of 8]
    #[arg(long, value_name = "W", value_parser = side, allow_negative_numbers = true)]
    pub width: Option<usize>,
    /// Encode at this height, a multiple of 8; needs --width [default: down to a multiple of 8]
    #[arg(long, value_name = "H", value_parser = side, allow_negative_numbers = true)]
    pub height: Option<usize>,

    /// Draw latents from the posterior instead of taking its mode
    #[arg(long)]
    pub sample: bool,
    /// What --sample draws from: torch.Generator's seed [default: drawn, and printed]
    #[arg(long, value_name = "S", value_parser = seed, allow_negative_numbers = true)]
    pub seed: Option<i128>,

    /// The VAE: builtin, a folder in diffusers' layout, a file (.safetensors, .bin, .pt, .ckpt), or
    /// a repository of a hub, such as CompVis/stable-diffusion-v1-4; ./builtin for a folder of that
    /// name
    #[arg(long, value_name = "SOURCE", default_value = "builtin")]
    pub repo: String,
    #[command(flatten)]
    pub about: SourceArgs,

    /// auto, cpu, cuda, cuda:N or mps; auto is CUDA where it is, else the CPU
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceChoice,
    /// The arithmetic; auto is f32 on the CPU and f16 elsewhere. bf16 has no picture
    #[arg(long, value_enum, default_value_t = DtypeChoice::Auto)]
    pub dtype: DtypeChoice,
    /// How many threads compute [default: libtorch's choice]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096), allow_negative_numbers = true)]
    pub threads: Option<u32>,
    /// Which implementation runs the VAE; fast is for the CPU in f32
    #[arg(long, value_enum, default_value_t = Engine::Reference)]
    pub engine: Engine,
    /// With --engine fast: how much memory the process may take (8G, 512M) while it encodes and
    /// decodes; what does not fit lies in a file in TMPDIR. Same result to the bit, slower
    #[arg(long, value_name = "SIZE")]
    pub max_memory: Option<ByteSize>,

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
    #[arg(long, value_name = "F.json")]
    pub save_trace: Option<PathBuf>,

    /// Also run on the CPU in f32, and name the first layer that differs
    #[arg(long)]
    pub cross_check: bool,
    /// Also say what f16 and bf16 would do: overflow, head-room, and PSNR
    #[arg(long)]
    pub forecast: bool,
    #[command(flatten)]
    pub files: FilesArgs,

    #[command(flatten)]
    pub least: LeastArgs,
    /// Fail where PSNR or SSIM fall below those of an earlier --json, or an error is new
    #[arg(long, value_name = "RUN.json")]
    pub baseline: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DtypeChoice {
    Auto,
    F32,
    F16,
    Bf16,
}

impl DtypeChoice {
    pub fn dtype(self) -> Option<Dtype> {
        match self {
            Self::Auto => None,
            Self::F32 => Some(Dtype::F32),
            Self::F16 => Some(Dtype::F16),
            Self::Bf16 => Some(Dtype::Bf16),
        }
    }
}

/// torch takes seeds from -2^63 to 2^64 - 1, and negative ones as 2^64 more.
fn seed(text: &str) -> Result<i128, String> {
    match text.parse::<i128>() {
        Ok(seed) if (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&seed) => Ok(seed),
        _ => Err("expected a whole number from -2^63 to 2^64 - 1, as torch takes".to_owned()),
    }
}

fn side(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "expected a multiple of 8, at least 8".to_owned())
}

//! Which VAE runs, on what size, and how: the flags that `check`, `trace` and `decode` share.

use std::hash::{BuildHasher, RandomState};

use crate::autoencoder_kl::DeviceChoice;
use crate::pipeline::PipelineBuilder;
use crate::pixels::Exif;
use crate::{Dtype, Error, Pipeline, Result};
use clap::{Args, ValueEnum};

use super::byte_size::ByteSize;
use super::engine::EngineChoice;
use super::source_args::SourceArgs;

/// A VAE and how it is run.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Encode at this width, a multiple of 8; needs --height [default: down to a multiple of 8]
    #[arg(long, value_name = "W", value_parser = side, allow_negative_numbers = true)]
    pub width: Option<usize>,
    /// Encode at this height, a multiple of 8; needs --width [default: down to a multiple of 8]
    #[arg(long, value_name = "H", value_parser = side, allow_negative_numbers = true)]
    pub height: Option<usize>,

    /// What is done with a picture's EXIF orientation, before anything else: ignore uses pixels as they
    /// are stored, as the reference script does; apply turns them, as diffusers' load_image does
    #[arg(long, value_name = "ignore|apply", default_value_t)]
    pub exif: Exif,

    /// Draw latents from the posterior instead of taking its mode
    #[arg(long)]
    pub sample: bool,
    /// What --sample draws from: torch.Generator's seed [default: drawn, and printed]
    #[arg(long, value_name = "S", value_parser = seed, allow_negative_numbers = true)]
    pub seed: Option<i128>,

    #[command(flatten)]
    pub model: ModelArgs,
}

/// A VAE, and where and in which arithmetic it runs.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// The VAE: builtin, a folder in diffusers' layout, a file (.safetensors, .bin, .pt, .ckpt), or
    /// a repository of a hub, such as CompVis/stable-diffusion-v1-4; ./builtin for a folder of that
    /// name
    #[arg(long, aliases = ["vae", "model"], value_name = "SOURCE", default_value = "builtin")]
    pub repo: String,
    #[command(flatten)]
    pub about: SourceArgs,
    #[command(flatten)]
    pub execution: ExecutionArgs,
}

/// Where and in which arithmetic VAEs run.
#[derive(Debug, Args)]
pub struct ExecutionArgs {
    /// auto, cpu, cuda, cuda:N or mps; auto is CUDA where it is, else the CPU
    #[arg(long, value_name = "DEVICE", default_value = "auto")]
    pub device: DeviceChoice,
    /// The arithmetic; auto is f32 on the CPU and f16 elsewhere. In bf16 check and decode have no picture
    #[arg(long, aliases = ["precision", "torch-dtype"], value_enum, default_value_t = DtypeChoice::Auto)]
    pub dtype: DtypeChoice,
    /// How many threads compute [default: libtorch's choice; for --engine fast on the CPU as many as
    /// the process may use]
    #[arg(long, value_name = "N", value_parser = threads, allow_negative_numbers = true)]
    pub threads: Option<u32>,
    /// Which implementation runs the VAE; the default is reference where libtorch was built in
    #[arg(long, value_enum, default_value_t)]
    pub engine: EngineChoice,
}

/// How what is large is run in parts.
#[derive(Debug, Args)]
pub struct SplittingArgs {
    /// Encode and decode in tiles, as diffusers' enable_tiling() does; pictures up to a tile stay whole
    #[arg(long)]
    pub tiling: bool,
    /// Side of a tile in pixels, a multiple of 32 for most models [default: the config's sample_size]
    #[arg(long, value_name = "N", requires = "tiling", value_parser = tile_side, allow_negative_numbers = true)]
    pub tile_size: Option<usize>,
    /// With --engine fast: how much memory the process may take (8G, 512M) while it encodes and
    /// decodes; what does not fit lies in a file in TMPDIR. Same result to the bit, slower
    #[arg(long, value_name = "SIZE")]
    pub max_memory: Option<ByteSize>,
}

impl SplittingArgs {
    /// The same pipeline, run in these parts.
    pub fn applied(&self, mut builder: PipelineBuilder) -> PipelineBuilder {
        if self.tiling {
            builder = builder.tiling(self.tile_size);
        }
        match self.max_memory {
            Some(size) => builder.max_memory_bytes(size.0),
            None => builder,
        }
    }
}

impl ModelArgs {
    /// The pipeline that these flags describe, but for how the checkpoint is opened.
    pub fn pipeline(&self) -> PipelineBuilder {
        self.execution.applied(self.about.applied(Pipeline::builder().repo(&self.repo)))
    }
}

impl ExecutionArgs {
    /// The same pipeline, run so.
    pub fn applied(&self, builder: PipelineBuilder) -> PipelineBuilder {
        let mut builder = builder.engine(self.engine.engine()).device(self.device);
        if let Some(dtype) = self.dtype.dtype() {
            builder = builder.dtype(dtype);
        }
        if let Some(threads) = self.threads_at_most() {
            builder = builder.threads(threads);
        }
        builder
    }

    /// How many threads are asked for, as far as the machine is of use for them.
    pub fn threads_at_most(&self) -> Option<usize> {
        self.threads.map(|threads| (threads as usize).min(most_threads()))
    }

    /// What these flags leave without effect.
    pub fn notes(&self) -> Vec<String> {
        let most = most_threads();
        let fewer = self.threads.filter(|&threads| threads as usize > most).map(|threads| {
            format!("--threads {threads} is more than this machine is of use for: {most} are used")
        });
        fewer.into_iter().collect()
    }
}

impl RunArgs {
    /// What a draw is made with; `None` takes the mode.
    pub fn seed_of_draw(&self) -> Option<i128> {
        self.sample.then(|| self.seed.unwrap_or_else(draw_seed))
    }

    /// What these flags leave without effect, or change.
    pub fn notes(&self) -> Vec<String> {
        let unused = self.seed.filter(|_| !self.sample).map(|seed| {
            format!("--seed {seed} has no effect without --sample, as in the reference script")
        });
        unused.into_iter().chain(self.model.execution.notes()).collect()
    }
}

/// How many threads are started at most: far more than run at once bring nothing, and each takes memory.
fn most_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get).max(64)
}

/// Errors where the working directory is gone: libtorch would say it in C++.
pub fn check_working_directory() -> Result<()> {
    std::env::current_dir().map(drop).map_err(|_| {
        Error::option(
            "the working directory",
            "is gone, or may not be read",
            "change to another one: cd",
        )
    })
}

/// A seed short enough to type again.
fn draw_seed() -> i128 {
    // The standard library's hash keys are random, and cost no dependency.
    i128::from(RandomState::new().hash_one(std::process::id()) as u32)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DtypeChoice {
    Auto,
    #[value(aliases = ["fp32", "float32"])]
    F32,
    #[value(aliases = ["fp16", "float16", "half"])]
    F16,
    #[value(alias = "bfloat16")]
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

    /// Whether what is decoded becomes a picture.
    pub fn has_picture(self) -> bool {
        self != Self::Bf16
    }

    /// Errors for the first flag that is given and needs a picture where there is none.
    pub fn refuse_without_picture(self, needs_picture: &[(&str, bool)]) -> Result<()> {
        match needs_picture.iter().find(|(_, given)| *given && !self.has_picture()) {
            Some((flag, _)) => Err(Error::option(
                flag,
                "needs a picture, and --dtype bf16 has none: the reference script's conversion to pixels goes through numpy, which has no bfloat16",
                "leave it out, or use --dtype f32 or f16",
            )),
            None => Ok(()),
        }
    }
}

/// torch takes seeds from -2^63 to 2^64 - 1, and negative ones as 2^64 more.
fn seed(text: &str) -> std::result::Result<i128, String> {
    match text.parse::<i128>() {
        Ok(seed) if (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&seed) => Ok(seed),
        _ => Err("expected a whole number from -2^63 to 2^64 - 1, as torch takes".to_owned()),
    }
}

fn threads(text: &str) -> std::result::Result<u32, String> {
    match text.parse() {
        Ok(threads @ 1..=4096) => Ok(threads),
        _ => Err("expected a whole number from 1 to 4096".to_owned()),
    }
}

fn tile_side(text: &str) -> std::result::Result<usize, String> {
    text.parse().map_err(|_| "expected a whole number of pixels".to_owned())
}

fn side(text: &str) -> std::result::Result<usize, String> {
    text.parse().map_err(|_| "expected a multiple of 8, at least 8".to_owned())
}

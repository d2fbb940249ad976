//! Which implementation runs a VAE, where, and in which arithmetic: with libtorch and without.

// The one place that knows whether libtorch was built in; both files offer the same functions.
#[cfg_attr(feature = "tch", path = "with_libtorch.rs")]
#[cfg_attr(not(feature = "tch"), path = "without_libtorch.rs")]
mod libtorch;

use std::fmt;

use ndarray::{Array4, ArrayView4};

use crate::autoencoder_kl::{
    Device, DeviceChoice, FastAutoencoderKL, check_picture_fits, no_posterior,
};
use vae_fidelity_checkpoint::Checkpoint;
use vae_fidelity_core::cancellation::Cancellation;
use vae_fidelity_core::config::{FRAMES_OF_A_LATENT, VaeConfig};
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::vae::Vae;
use vae_fidelity_files::error::{Error, ErrorKind, Result};
use vae_fidelity_kernels::threads::Threads;

/// An implementation of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// diffusers' operations in diffusers' order, on libtorch.
    Reference,
    /// Kernels of this crate on the CPU; on CUDA between libtorch's convolutions.
    Fast,
}

impl Default for Engine {
    /// The reference engine where libtorch was built in, else the fast one.
    fn default() -> Self {
        libtorch::DEFAULT_ENGINE
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reference => "reference",
            Self::Fast => "fast",
        })
    }
}

/// No machine computes with more.
const MOST_THREADS: usize = 4096;

impl Engine {
    /// How this engine runs with `device`, `dtype` and `threads`. By default as the reference script
    /// does: on CUDA with f16 if available, else on the CPU with f32.
    ///
    /// # Errors
    ///
    /// Returns an error if the device is not available or not supported by this engine, for the
    /// reference engine if this build has no libtorch, and for no threads or more than 4096.
    pub fn execution(
        self,
        device: DeviceChoice,
        dtype: Option<Dtype>,
        threads: Option<usize>,
    ) -> Result<Execution> {
        libtorch::check(self, device)?;
        if let Some(threads) = threads.filter(|threads| !(1..=MOST_THREADS).contains(threads)) {
            return Err(Error::option(
                format!("`threads` {threads}"),
                format!("expected 1 to {MOST_THREADS}"),
                "leave it out for as many as the machine has processors",
            ));
        }
        let (device, dtype) = libtorch::pick_device_and_dtype(device, dtype)?;
        if let Some(threads) = threads {
            libtorch::set_threads(threads);
        }
        let cancellation = Cancellation::default();
        Ok(Execution { engine: self, device, dtype, threads, max_memory: None, cancellation })
    }
}

/// What a run is held against on request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrossCheck {
    /// What is compared, for example `vector kernels with plain kernels in f32`.
    pub compares: &'static str,
    /// What it is compared with.
    pub name: &'static str,
    /// What to do where the two differ, if it is not what the finding says by itself.
    pub remedy: Option<&'static str>,
}

/// How a VAE runs, settled before anything is loaded.
#[derive(Debug, Clone)]
pub struct Execution {
    engine: Engine,
    device: Device,
    dtype: Dtype,
    threads: Option<usize>,
    max_memory: Option<u64>,
    cancellation: Cancellation,
}

impl Execution {
    /// Which implementation runs.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Where it runs.
    pub fn device(&self) -> Device {
        self.device
    }

    /// What it rounds to.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Whether this runs on this project's kernels, of which neither threads nor instructions change a bit.
    fn is_own(&self) -> bool {
        self.engine == Engine::Fast && self.device == Device::CPU
    }

    /// How this runs as several models at once, each on one thread, and how many they are: as many as compute one
    /// together. `None` where that is another way to run: on anything but this project's kernels without a limit of
    /// memory, and where there is one thread.
    pub fn several(&self) -> Option<(usize, Self)> {
        let own = self.is_own() && self.max_memory.is_none();
        let threads = self.threads.map_or_else(Threads::available, Threads::new).count;
        (own && threads > 1).then(|| (threads, Self { threads: Some(1), ..self.clone() }))
    }

    /// How many threads compute, where their number changes what is computed: not on this project's
    /// kernels. `None` also where it was not asked for.
    pub fn threads_that_matter(&self) -> Option<usize> {
        self.threads.filter(|_| !self.is_own())
    }

    /// The same with at most `bytes` of memory for the process while it encodes and decodes.
    ///
    /// # Errors
    ///
    /// Returns an error if this engine cannot keep to a limit.
    pub fn within(self, bytes: Option<u64>) -> Result<Self> {
        if bytes.is_some() && self.engine != Engine::Fast {
            return Err(Error::option(
                "`max_memory`",
                "the reference engine takes what libtorch takes",
                "add `engine` fast, or leave it out",
            ));
        }
        if bytes.is_some() && self.device != Device::CPU {
            return Err(Error::option(
                "`max_memory`",
                format!("holds on the CPU alone, and the fast engine would run on {}", self.device),
                "add `device` cpu, or leave it out",
            ));
        }
        Ok(Self { max_memory: bytes, ..self })
    }

    /// Checks before any work that a picture of this size, encoded as a whole, does not certainly take
    /// more memory than the system can give. On the CPU, without a limit of memory.
    ///
    /// # Errors
    ///
    /// With [`ErrorKind::Memory`], what is needed and what there is.
    pub fn check_memory(&self, config: &VaeConfig, (width, height): (usize, usize)) -> Result<()> {
        match self.device == Device::CPU && self.max_memory.is_none() {
            true => check_picture_fits(config, self.threads, (width, height)),
            false => Ok(()),
        }
    }

    /// The same, ended by `cancellation`: models that are loaded from now on look at it in each layer.
    #[must_use]
    pub fn cancelled_by(self, cancellation: Cancellation) -> Self {
        Self { cancellation, ..self }
    }

    fn cancellable(&self, vae: Result<Box<dyn Vae>>) -> Result<Box<dyn Vae>> {
        let mut vae = vae?;
        vae.set_cancellation(self.cancellation.clone());
        Ok(vae)
    }

    /// Loads the VAE of `checkpoint` to be run so.
    pub fn load(&self, checkpoint: &Checkpoint) -> Result<Box<dyn Vae>> {
        self.cancellable(match (self.engine, self.device) {
            (Engine::Fast, Device::Cpu) => {
                let vae = FastAutoencoderKL::load(checkpoint, self.threads)?.rounded_to(self.dtype);
                Ok(Box::new(match self.max_memory {
                    Some(bytes) => vae.with_max_memory(bytes),
                    None => vae,
                }) as Box<dyn Vae>)
            }
            (engine, device) => {
                libtorch::load(checkpoint, device, self.dtype, engine == Engine::Fast)
            }
        })
    }

    /// What `torch.Generator(device).manual_seed(seed)` gives a draw from the posterior of a picture of
    /// this size, in the dtype that runs.
    ///
    /// # Errors
    ///
    /// Returns an error for a class without a posterior.
    pub fn noise(
        &self,
        config: &VaeConfig,
        seed: i128,
        width: usize,
        height: usize,
    ) -> Result<Array4<f32>> {
        self.noise_of(config, seed, (1, height, width))
    }

    /// The same for a clip of so many `frames`, of which latents have fewer: (T', C, h, w), as `torch.randn` fills
    /// (1, C, T', h, w).
    ///
    /// # Errors
    ///
    /// As [`Self::noise`].
    pub fn noise_of_clip(
        &self,
        config: &VaeConfig,
        seed: i128,
        frames: usize,
        (width, height): (usize, usize),
    ) -> Result<Array4<f32>> {
        let frames = frames.div_ceil(FRAMES_OF_A_LATENT);
        let noise = self.noise_of(config, seed, (frames, height, width))?;
        let (_, channels, height, width) = noise.dim();
        let shape = (channels / frames, frames, height, width);
        let noise = noise.into_shape_with_order(shape).map_err(|error| {
            Error::tensor("noise", error, "report this with the command that shows it")
        })?;
        Ok(noise.permuted_axes([1, 0, 2, 3]).as_standard_layout().into_owned())
    }

    /// (1, C * frames, h, w)
    fn noise_of(
        &self,
        config: &VaeConfig,
        seed: i128,
        (frames, height, width): (usize, usize, usize),
    ) -> Result<Array4<f32>> {
        if !config.has_posterior() {
            return Err(no_posterior(config));
        }
        let smaller = config.downsampling();
        let channels = config.latent_channels() * frames;
        let shape = (1, channels, height / smaller, width / smaller);
        // As torch reads a seed: by its lowest 64 bits.
        libtorch::noise(shape, seed as i64, self.device, self.dtype)
    }

    /// Whether half precision is not computed but rounded to.
    fn rounds(&self) -> bool {
        self.engine == Engine::Fast && self.device == Device::Cpu && self.dtype != Dtype::F32
    }

    /// How values of the dtype come about: by arithmetic in it, or by rounding.
    pub fn arithmetic(&self) -> String {
        match self.rounds() {
            true => format!("f32, with weights and every layer's output rounded to {}", self.dtype),
            false => self.dtype.to_string(),
        }
    }

    /// Checks that goldens apply to this way to run.
    ///
    /// # Errors
    ///
    /// Returns an error of kind [`ErrorKind::Unsupported`] if they do not.
    pub fn check_goldens_apply(&self) -> Result<()> {
        if !self.rounds() {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Unsupported,
            format!("`engine` fast in {}", self.dtype),
            "rounds after each layer, and the goldens were made with arithmetic in that dtype",
            "judge it with `engine` reference",
        ))
    }

    /// What a reader of the results has to know.
    pub fn note(&self) -> Option<String> {
        let dtype = self.dtype;
        match (self.engine, self.device) {
            (Engine::Reference, _) => None,
            (Engine::Fast, Device::Cpu) if self.rounds() => Some(format!(
                "{dtype} is not computed in {dtype} but in f32, with weights and every layer's output \
                 rounded, as `forecast` does it; goldens in {dtype} do not judge that"
            )),
            (Engine::Fast, Device::Cpu) => Some(
                "the fast engine rounds otherwise than diffusers: on every golden its latents lie \
                 within 0.001 of the reference engine's and its pixels at 60 dB or more, both tested"
                    .to_owned(),
            ),
            (Engine::Fast, _) => Some(
                "the fast engine rounds otherwise than diffusers: on an H100 it passes every golden, and \
                 in f16 decodes to 63 dB of f32 or nearer; `cross_check` compares it with the CPU in f32"
                    .to_owned(),
            ),
        }
    }

    /// What a cross-check holds this against; `None` where that is what runs.
    pub fn cross_check(&self) -> Option<CrossCheck> {
        libtorch::cross_check(self)
    }

    /// Loads what [`Self::cross_check`] names.
    pub fn load_cross_check(&self, checkpoint: &Checkpoint) -> Result<Box<dyn Vae>> {
        self.cancellable(libtorch::load_cross_check(checkpoint, self.threads))
    }

    /// Loads the VAE in f32 on the CPU: what half precision is held against.
    pub fn load_f32(&self, checkpoint: &Checkpoint) -> Result<Box<dyn Vae>> {
        self.cancellable(libtorch::load_f32(checkpoint, self.threads))
    }

    /// The decoded sample of one trip of `sample` as `dtype` would round it, on the CPU.
    pub fn decoded_in(
        &self,
        checkpoint: &Checkpoint,
        sample: ArrayView4<f32>,
        dtype: Dtype,
    ) -> Result<Array4<f32>> {
        libtorch::decoded_in(checkpoint, self.threads, sample, dtype)
    }
}

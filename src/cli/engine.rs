//! `--engine`: which implementation runs the VAE, where, and in which arithmetic.

use super::byte_size::ByteSize;
use clap::ValueEnum;
use ndarray::Array4;
use vae_fidelity::autoencoder_kl::{
    AutoencoderKL, Device, DeviceChoice, noise, pick_device_and_dtype, set_threads,
};
use vae_fidelity::{AutoencoderKLConfig, Checkpoint, Dtype, Error, FastAutoencoderKL, Result, Vae};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// diffusers' operations in diffusers' order, on libtorch
    Reference,
    /// Several times as fast and in less memory, rounding otherwise; the CPU in f32, CUDA in f16 or bf16
    Fast,
}

/// What is settled before anything is loaded.
#[derive(Debug, Clone, Copy)]
pub struct Settled {
    pub engine: Engine,
    pub device: Device,
    pub dtype: Dtype,
    threads: Option<usize>,
    max_memory: Option<ByteSize>,
}

impl Engine {
    pub fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Fast => "fast",
        }
    }

    /// Errors when the device is not there, or is not for this engine.
    pub fn settle(
        self,
        device: DeviceChoice,
        dtype: Option<Dtype>,
        threads: Option<usize>,
    ) -> Result<Settled> {
        if let Some(threads) = threads {
            set_threads(threads);
        }
        let (device, dtype) = match self {
            Self::Reference => pick_device_and_dtype(device, dtype)?,
            Self::Fast => fast(device, dtype)?,
        };
        Ok(Settled { engine: self, device, dtype, threads, max_memory: None })
    }
}

impl Settled {
    /// Errors when a limit is asked of an engine that cannot keep it.
    pub fn within(self, max_memory: Option<ByteSize>) -> Result<Self> {
        if max_memory.is_some() && self.engine != Engine::Fast {
            return Err(Error::option(
                "--max-memory",
                "the reference engine takes what libtorch takes",
                "add --engine fast, or leave it out",
            ));
        }
        if max_memory.is_some() && self.device != Device::CPU {
            return Err(Error::option(
                "--max-memory",
                format!("holds on the CPU alone, and the fast engine would run on {}", self.device),
                "add --device cpu, or leave it out",
            ));
        }
        Ok(Self { max_memory, ..self })
    }

    pub fn load(self, checkpoint: &Checkpoint) -> Result<Box<dyn Vae>> {
        Ok(match self.engine {
            Engine::Reference => {
                Box::new(AutoencoderKL::load(checkpoint, self.device, self.dtype)?)
            }
            Engine::Fast if self.device != Device::CPU => {
                Box::new(AutoencoderKL::load_channels_last(checkpoint, self.device, self.dtype)?)
            }
            Engine::Fast => {
                let vae = FastAutoencoderKL::load(checkpoint, self.threads)?;
                Box::new(match self.max_memory {
                    Some(ByteSize(bytes)) => vae.with_max_memory(bytes),
                    None => vae,
                })
            }
        })
    }

    /// What `--sample --seed` draws with, of the shape of the latents of a picture of this size.
    pub fn noise(
        self,
        config: &AutoencoderKLConfig,
        seed: i128,
        width: usize,
        height: usize,
    ) -> Result<Array4<f32>> {
        let smaller = config.downsampling();
        let shape = (1, config.latent_channels, height / smaller, width / smaller);
        // As torch reads a seed: by its lowest 64 bits.
        noise(shape, seed as i64, self.device, self.dtype)
    }

    /// What a reader of the results has to know.
    pub fn note(self) -> Option<&'static str> {
        match self.engine {
            Engine::Reference => None,
            Engine::Fast if self.device != Device::CPU => Some(
                "the fast engine rounds otherwise than diffusers, and on GPUs it has been neither \
                 measured nor held to the goldens: --cross-check compares it with the CPU in f32",
            ),
            Engine::Fast => Some(
                "the fast engine rounds otherwise than diffusers: on every golden its latents lie \
                 within 0.001 of the reference engine's and its pixels at 60 dB or more, both tested",
            ),
        }
    }
}

fn fast(device: DeviceChoice, dtype: Option<Dtype>) -> Result<(Device, Dtype)> {
    if device == DeviceChoice::Mps {
        return Err(Error::option(
            "--engine fast --device mps",
            "runs on the CPU and on CUDA alone",
            "leave out --device, or use --engine reference there",
        ));
    }
    let (device, usual) = pick_device_and_dtype(device, None)?;
    match dtype {
        Some(dtype) if device == Device::CPU && dtype != Dtype::F32 => Err(Error::option(
            format!("--engine fast --dtype {dtype}"),
            "computes in f32 alone on the CPU",
            "leave out --dtype, or use --engine reference for it",
        )),
        _ => Ok((device, dtype.unwrap_or(usual))),
    }
}

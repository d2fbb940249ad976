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
    /// Several times as fast and in less memory, rounding otherwise; CPU and f32
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
        Ok(Self { max_memory, ..self })
    }

    pub fn load(self, checkpoint: &Checkpoint) -> Result<Box<dyn Vae>> {
        Ok(match self.engine {
            Engine::Reference => {
                Box::new(AutoencoderKL::load(checkpoint, self.device, self.dtype)?)
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
            Engine::Fast => Some(
                "the fast engine rounds otherwise than diffusers: on every golden its latents lie \
                 within 0.001 of the reference engine's and its pixels at 60 dB or more, both tested",
            ),
        }
    }
}

fn fast(device: DeviceChoice, dtype: Option<Dtype>) -> Result<(Device, Dtype)> {
    if !matches!(device, DeviceChoice::Auto | DeviceChoice::Cpu) {
        return Err(Error::option(
            "--engine fast",
            "runs on the CPU alone",
            "leave out --device, or use --engine reference there",
        ));
    }
    match dtype {
        None | Some(Dtype::F32) => Ok((Device::CPU, Dtype::F32)),
        Some(dtype) => Err(Error::option(
            format!("--engine fast --dtype {dtype}"),
            "computes in f32 alone",
            "leave out --dtype, or use --engine reference for it",
        )),
    }
}

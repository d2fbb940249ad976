//! What runs where libtorch was not built in: the fast engine, on the CPU.

use ndarray::{Array4, ArrayView4};

use super::{CrossCheck, Engine, Execution};
use crate::autoencoder_kl::{Device, DeviceChoice, FastAutoencoderKL};
use vae_fidelity_checkpoint::Checkpoint;
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::random::Generator;
use vae_fidelity_core::vae::{Vae, round_trip};
use vae_fidelity_files::error::{Error, ErrorKind, Result};

pub(super) const DEFAULT_ENGINE: Engine = Engine::Fast;

pub(super) fn check(engine: Engine, _: DeviceChoice) -> Result<()> {
    match engine {
        Engine::Fast => Ok(()),
        Engine::Reference => Err(Error::option(
            "`engine` reference",
            "runs on libtorch, and this binary was built without it",
            "leave it out for the fast engine, or build with the feature tch: cargo install \
             vae-fidelity --features tch",
        )),
    }
}

pub(super) fn pick_device_and_dtype(
    device: DeviceChoice,
    dtype: Option<Dtype>,
) -> Result<(Device, Dtype)> {
    let name = match device {
        DeviceChoice::Auto | DeviceChoice::Cpu => {
            return Ok((Device::CPU, dtype.unwrap_or(Dtype::F32)));
        }
        DeviceChoice::Cuda(index) => Device::Cuda(index),
        DeviceChoice::Mps => Device::Mps,
    };
    Err(needs_libtorch(name))
}

fn needs_libtorch(device: Device) -> Error {
    let (what, set_up) = match device {
        Device::Cuda(_) => {
            ("CUDA", ", with a CUDA libtorch (scripts/libtorch.py --cuda fetches one)")
        }
        _ => ("MPS", ""),
    };
    Error::new(
        ErrorKind::Device,
        format!("`device` {device}"),
        format!("{what} is reached through libtorch, and this binary was built without it"),
        format!(
            "use `device` cpu, or build with the feature tch{set_up}: cargo install vae-fidelity \
             --features tch"
        ),
    )
}

/// Each model has its own.
pub(super) fn set_threads(_: usize) {}

pub(super) fn load(_: &Checkpoint, device: Device, _: Dtype, _: bool) -> Result<Box<dyn Vae>> {
    Err(needs_libtorch(device))
}

pub(super) fn noise(
    shape: (usize, usize, usize, usize),
    seed: i64,
    _: Device,
    dtype: Dtype,
) -> Result<Array4<f32>> {
    let (n, c, h, w) = shape;
    let values = Generator::manual_seed(seed as u64).randn(n * c * h * w, dtype);
    Array4::from_shape_vec(shape, values).map_err(|error| {
        Error::tensor("noise", error, "report this with the command that shows it")
    })
}

/// Vectors are what differs from processor to processor, so they are held against none.
pub(super) fn cross_check(_: &Execution) -> Option<CrossCheck> {
    Some(CrossCheck {
        compares: "the vector kernels with the plain ones in f32",
        name: "the plain kernels in f32",
        remedy: Some(
            "report this with the processor's name: its vectors compute something else than plain \
             Rust does; until then build with the feature tch and use `engine` reference",
        ),
    })
}

pub(super) fn load_cross_check(
    checkpoint: &Checkpoint,
    threads: Option<usize>,
) -> Result<Box<dyn Vae>> {
    Ok(Box::new(FastAutoencoderKL::load(checkpoint, threads)?.with_plain_kernels()))
}

pub(super) fn load_f32(checkpoint: &Checkpoint, threads: Option<usize>) -> Result<Box<dyn Vae>> {
    Ok(Box::new(FastAutoencoderKL::load(checkpoint, threads)?))
}

pub(super) fn decoded_in(
    checkpoint: &Checkpoint,
    threads: Option<usize>,
    sample: ArrayView4<f32>,
    dtype: Dtype,
) -> Result<Array4<f32>> {
    let vae = FastAutoencoderKL::load(checkpoint, threads)?.rounded_to(dtype);
    Ok(round_trip(&vae, sample, None)?.decoded)
}

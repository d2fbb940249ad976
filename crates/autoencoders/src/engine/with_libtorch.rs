//! What runs where libtorch was built in.

use ndarray::{Array4, ArrayView4};

use super::{CrossCheck, Engine, Execution};
use crate::autoencoder_kl::{AutoencoderKL, Device, DeviceChoice, rounded_trip};
use vae_fidelity_checkpoint::Checkpoint;
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::vae::Vae;
use vae_fidelity_files::error::{Error, Result};

pub(super) use crate::autoencoder_kl::{noise, pick_device_and_dtype, set_threads};

pub(super) const DEFAULT_ENGINE: Engine = Engine::Reference;

pub(super) fn check(engine: Engine, device: DeviceChoice) -> Result<()> {
    if (engine, device) != (Engine::Fast, DeviceChoice::Mps) {
        return Ok(());
    }
    Err(Error::option(
        "`engine` fast `device` mps",
        "runs on the CPU and on CUDA alone",
        "leave out `device`, or use `engine` reference there",
    ))
}

pub(super) fn load(
    checkpoint: &Checkpoint,
    device: Device,
    dtype: Dtype,
    channels_last: bool,
) -> Result<Box<dyn Vae>> {
    Ok(Box::new(match channels_last {
        true => AutoencoderKL::load_channels_last(checkpoint, device, dtype)?,
        false => AutoencoderKL::load(checkpoint, device, dtype)?,
    }))
}

pub(super) fn cross_check(execution: &Execution) -> Option<CrossCheck> {
    let &Execution { engine, device, dtype, .. } = execution;
    let same = (engine, device, dtype) == (Engine::Reference, Device::CPU, Dtype::F32);
    (!same).then_some(CrossCheck {
        compares: "this run with the reference engine on the CPU in f32",
        name: "the reference engine on the CPU in f32",
        remedy: None,
    })
}

pub(super) fn load_cross_check(
    checkpoint: &Checkpoint,
    threads: Option<usize>,
) -> Result<Box<dyn Vae>> {
    load_f32(checkpoint, threads)
}

/// Threads are libtorch's, and set.
pub(super) fn load_f32(checkpoint: &Checkpoint, _: Option<usize>) -> Result<Box<dyn Vae>> {
    load(checkpoint, Device::CPU, Dtype::F32, false)
}

pub(super) fn decoded_in(
    checkpoint: &Checkpoint,
    _: Option<usize>,
    sample: ArrayView4<f32>,
    dtype: Dtype,
) -> Result<Array4<f32>> {
    Ok(rounded_trip(checkpoint, sample, dtype)?.decoded)
}

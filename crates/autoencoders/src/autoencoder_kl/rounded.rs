//! What half precision would do, without half-precision kernels, on libtorch: f32 arithmetic, with weights and
//! every module's output rounded to the dtype. On the CPU that is 100 times faster than real f16.

use ndarray::{Array4, ArrayView4, s};
use tch::Tensor;

use vae_fidelity_checkpoint::Checkpoint;
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::tiling::Part;
use vae_fidelity_files::error::Result;

use super::forward::Named;
use super::libtorch::{Attempt, kind_of, to_array, to_tensor};
use super::model::Model;
use super::reference::Reference;

/// Latents and decoded sample of one trip as `dtype` would round them.
#[derive(Debug, Clone, PartialEq)]
pub struct RoundedTrip {
    /// Mode of the posterior, or what the encoder gives where there is none; unscaled.
    pub latents: Array4<f32>,
    /// Decoded sample before clamping.
    pub decoded: Array4<f32>,
}

/// Sends `sample` (1, 3, H, W) through the VAE of `checkpoint` on the CPU in f32, rounding weights
/// and the output of every module to `dtype`; what passes its largest value becomes infinite.
///
/// Kernels of half precision accumulate in f32 and round once an operation, which this follows,
/// except between an activation function and the layer after it.
pub fn rounded_trip(
    checkpoint: &Checkpoint,
    sample: ArrayView4<f32>,
    dtype: Dtype,
) -> Result<RoundedTrip> {
    let engine = Reference { device: tch::Device::Cpu, kind: kind_of(Dtype::F32) };
    let model = Model::load(&checkpoint.rounded_to(dtype), engine)?;
    let tensor = |values: &Array4<f32>| to_tensor(values.view(), engine.device, engine.kind);
    let mut round = |module: Named, output: &Tensor| {
        let rounded = output.f_to_kind(kind_of(dtype)).attempt(|| module.name)?;
        // A tensor is a handle: what comes after sees the rounded values.
        output.shallow_clone().f_copy_(&rounded).attempt(|| module.name).map(drop)
    };
    let sample = sample.mapv(|value| dtype.round(value));
    model.check_sample(&sample.view())?;
    let sample = tensor(&sample)?;
    let moments = to_array(&tch::no_grad(|| model.moments(&sample, &mut round))?)?;
    let latents = match checkpoint.config().has_posterior() {
        true => moments.slice(s![.., ..moments.dim().1 / 2, .., ..]).to_owned(),
        false => moments,
    };
    let scaling = checkpoint.scaling(dtype)?;
    let scaled = scaling.unscale(scaling.scale(latents.view(), dtype)?.view(), dtype)?;
    let scaled = tensor(&scaled)?;
    let decoded = to_array(&tch::no_grad(|| model.decoded(&scaled, Part::Whole, &mut round))?)?;
    Ok(RoundedTrip { latents, decoded })
}

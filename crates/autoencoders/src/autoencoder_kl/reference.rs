//! diffusers' operations on libtorch, in diffusers' order: equal bits on one machine.

use std::borrow::Cow;

use tch::{Device, Kind, Tensor};

use vae_fidelity_checkpoint::Checkpoint;
use vae_fidelity_core::config::Activation;
use vae_fidelity_core::graph::{AvgDown3D, DupUp3D, Elementwise, Sampling};
use vae_fidelity_files::error::Result;

use super::clips;
use super::engine::{BatchNorm, Beyond, Engine, First, Groups, Kernel, Layer, Shuffle};
use super::libtorch::{Attempt, copied, kind_of, to_values};
use super::model::WATCHED;
use super::shuffles;

/// Where and in which dtype libtorch computes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reference {
    pub device: Device,
    pub kind: Kind,
}

/// The tensor `name` as the checkpoint has it, on the CPU.
///
/// f32 weights stay where they are mapped, at the file's alignment, as in diffusers: apart from
/// sparing a copy, some kernels round differently at another alignment.
pub(super) fn mapped(checkpoint: &Checkpoint, name: &str) -> Result<Tensor> {
    let stored = checkpoint.tensor(name)?;
    let shape: Vec<i64> = stored.shape.iter().map(|&size| size as i64).collect();
    let kind = kind_of(stored.dtype);
    let tensor = match stored.data {
        Cow::Borrowed(data) if data.as_ptr().align_offset(kind.elt_size_in_bytes()) == 0 => {
            // SAFETY: the bytes cover the shape (checked when the file was opened), are aligned,
            // never written to, and mapped for as long as the model that holds
            // `Checkpoint::mapped` beside its tensors.
            unsafe { Tensor::f_from_blob(data.as_ptr(), &shape, &[], kind, Device::Cpu) }
        }
        data => Tensor::f_from_data_size(&data, &shape, kind),
    };
    tensor.attempt(|| format!("loading {name}"))
}

/// Whether the sum of two images that lie like `image` would lie as they do. It does not where `image` is a view
/// of another shape: dimensions of size 1 have strides of their own there, which say nothing of its values, and
/// by which the next layer chooses its kernel all the same.
fn lies_as_if_new(image: &Tensor) -> bool {
    let size = image.size();
    let strides = |order: &[usize]| {
        let mut strides = vec![0; size.len()];
        let mut step = 1;
        for &axis in order.iter().rev() {
            strides[axis] = step;
            step *= size[axis].max(1);
        }
        strides
    };
    let axes: Vec<usize> = (0..size.len()).collect();
    match size.len() {
        _ if image.is_contiguous() => image.stride() == strides(&axes),
        4 => image.stride() == strides(&[0, 2, 3, 1]),
        _ => false,
    }
}

impl Engine for Reference {
    type Tensor = Tensor;
    type Weight = Tensor;

    /// Requires a gradient, as Python's parameters do even where none is computed: by that,
    /// `at::matmul` (ATen/native/LinearAlgebra.cpp, `should_fold`) chooses between `mm` and `bmm`
    /// for tokens that lie transposed, and in bf16 on AMX the two round differently.
    fn weight(&self, checkpoint: &Checkpoint, name: &str) -> Result<Tensor> {
        mapped(checkpoint, name)?
            .f_to_kind(self.kind)
            .and_then(|tensor| tensor.f_to_device(self.device))
            .and_then(|tensor| tensor.f_set_requires_grad(true))
            .attempt(|| format!("loading {name}"))
    }

    fn conv2d(
        &self,
        xs: &Tensor,
        kernel: Kernel<Tensor>,
        stride: usize,
        padding: usize,
        at: &str,
    ) -> Result<Tensor> {
        let (stride, padding) = ([stride as i64; 2], [padding as i64; 2]);
        let conv =
            |xs: &Tensor| xs.f_conv2d(kernel.weight, kernel.bias, stride, padding, [1, 1], 1);
        clips::of_images(xs, conv).attempt(|| at)
    }

    fn group_norm(
        &self,
        xs: &Tensor,
        layer: Layer<Tensor>,
        groups: usize,
        eps: f64,
        at: &str,
    ) -> Result<Tensor> {
        xs.f_group_norm(groups as i64, Some(layer.weight), Some(layer.bias), eps, true)
            .attempt(|| at)
    }

    fn linear(&self, xs: &Tensor, layer: Kernel<Tensor>, at: &str) -> Result<Tensor> {
        xs.f_linear(layer.weight, layer.bias).attempt(|| at)
    }

    /// In place, which rounds no differently and takes no more memory.
    fn activation(&self, mut xs: Tensor, activation: Activation) -> Result<Tensor> {
        match activation {
            Activation::Silu => xs.f_silu_(),
            Activation::Mish => xs.f_mish_(),
            Activation::Gelu => xs.f_gelu_("none"),
            Activation::Relu => xs.f_relu_(),
        }
        .attempt(|| "activation")
    }

    fn pad(&self, xs: &Tensor, at: &str) -> Result<Tensor> {
        clips::of_images(xs, |xs| xs.f_pad([0, 1, 0, 1], "constant", Some(0.0))).attempt(|| at)
    }

    fn upsample_nearest_2x(&self, xs: &Tensor, at: &str) -> Result<Tensor> {
        let twice = |xs: &Tensor| xs.f_upsample_nearest2d_vec(None::<&[i64]>, [2.0, 2.0]);
        clips::of_images(xs, twice).attempt(|| at)
    }

    fn copied(&self, xs: &Tensor, at: &str) -> Result<Tensor> {
        copied(xs).attempt(|| at)
    }

    fn elementwise(&self, xs: Tensor, function: Elementwise, at: &str) -> Result<Tensor> {
        match function {
            Elementwise::ToUnitRange => xs.f_add_scalar(1i64).and_then(|xs| xs.f_div_scalar(2i64)),
            Elementwise::FromUnitRange => {
                xs.f_mul_scalar(2i64).and_then(|xs| xs.f_sub_scalar(1i64))
            }
            Elementwise::SoftClamp => {
                xs.f_div_scalar(3i64).and_then(|xs| xs.f_tanh()?.f_mul_scalar(3i64))
            }
            Elementwise::Clamp => xs.f_clamp(-1.0, 1.0),
        }
        .attempt(|| at)
    }

    /// In place where the result lies the same; for sides of 1 the order of operands decides how it
    /// lies, and with it the kernel of the next layer.
    fn add_to_input(
        &self,
        input: Tensor,
        mut hidden: Tensor,
        first: First,
        at: &str,
    ) -> Result<Tensor> {
        match (hidden.stride() == input.stride(), first) {
            (true, _) if lies_as_if_new(&hidden) => hidden.f_add_(&input),
            (_, First::Input) => input.f_add(&hidden),
            (_, First::Hidden) => hidden.f_add(&input),
        }
        .attempt(|| at)
    }

    fn add_residual(&self, mut hidden: Tensor, residual: &Tensor, at: &str) -> Result<Tensor> {
        match hidden.stride() == residual.stride() && lies_as_if_new(&hidden) {
            true => hidden.f_add_(residual),
            false => hidden.f_add(residual),
        }
        .attempt(|| at)
    }

    fn flatten(&self, xs: &Tensor, at: &str) -> Result<Tensor> {
        let (n, c, h, w) = xs.size4().attempt(|| at)?;
        xs.f_view([n, c, h * w]).attempt(|| at)
    }

    /// A transposed view, as diffusers hands it to the projections.
    fn to_tokens(&self, xs: &Tensor, at: &str) -> Result<Tensor> {
        xs.f_transpose(1, 2).attempt(|| at)
    }

    fn scaled_dot_product_attention(
        &self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        at: &str,
    ) -> Result<Tensor> {
        let (n, _, c) = query.size3().attempt(|| at)?;
        // (N, 1, H * W, C)
        let heads = |tensor: Tensor| {
            tensor.f_view([n, -1, 1, c]).and_then(|tensor| tensor.f_transpose(1, 2))
        };
        heads(query)
            .and_then(|query| {
                Tensor::f_scaled_dot_product_attention(
                    &query,
                    &heads(key)?,
                    &heads(value)?,
                    None::<Tensor>,
                    0.0,
                    false,
                    None,
                    false,
                )
            })
            .and_then(|tensor| tensor.f_transpose(1, 2))
            .and_then(|tensor| tensor.f_reshape([n, -1, c]))
            .attempt(|| at)
    }

    fn to_image(&self, tokens: &Tensor, like: &Tensor, at: &str) -> Result<Tensor> {
        let (n, c, h, w) = like.size4().attempt(|| at)?;
        tokens.f_transpose(-1, -2).and_then(|tensor| tensor.f_reshape([n, c, h, w])).attempt(|| at)
    }

    fn causal_conv3d(
        &self,
        xs: &Tensor,
        kernel: Kernel<Tensor>,
        padding: usize,
        at: &str,
    ) -> Result<Tensor> {
        clips::causal_conv3d(xs, kernel, padding as i64).attempt(|| at)
    }

    fn rms_norm(&self, xs: &Tensor, gamma: &Tensor, at: &str) -> Result<Tensor> {
        // (C, 1, 1): of images.
        let of_images = gamma.dim() == 3;
        match of_images {
            true => clips::of_images(xs, |xs| clips::rms_norm(xs, gamma)),
            false => clips::rms_norm(xs, gamma),
        }
        .attempt(|| at)
    }

    fn qkv_attention(&self, qkv: Tensor, at: &str) -> Result<Tensor> {
        clips::of_images(&qkv, clips::qkv_attention).attempt(|| at)
    }

    fn attention_of_images(&self, qkv: [Tensor; 3], at: &str) -> Result<Tensor> {
        shuffles::attention_of_images(&qkv).attempt(|| at)
    }

    fn avg_down(&self, xs: &Tensor, shape: AvgDown3D, _: bool, at: &str) -> Result<Tensor> {
        clips::avg_down(xs, shape).attempt(|| at)
    }

    fn to_clip(&self, images: Tensor) -> Result<Tensor> {
        clips::to_clip(&images).attempt(|| "a clip")
    }

    fn to_images(&self, clip: Tensor) -> Result<Tensor> {
        clips::to_images(&clip).attempt(|| "a clip")
    }

    fn frames(&self, clip: &Tensor, first: usize, count: usize) -> Result<Tensor> {
        clip.f_narrow(2, first as i64, count as i64).attempt(|| "frames of a clip")
    }

    fn joined(&self, parts: Vec<Tensor>) -> Result<Tensor> {
        Tensor::f_cat(&parts, 2).attempt(|| "a clip")
    }

    fn last_frames(&self, before: Option<&Tensor>, xs: &Tensor) -> Result<Tensor> {
        clips::last_frames(before, xs).attempt(|| "the last frames")
    }

    fn conv_over_frames(
        &self,
        xs: &Tensor,
        before: Option<&Tensor>,
        kernel: Kernel<Tensor>,
        padding: usize,
        at: &str,
    ) -> Result<Tensor> {
        clips::conv_over_frames(xs, before, kernel, padding as i64).attempt(|| at)
    }

    fn time_conv(
        &self,
        xs: &Tensor,
        before: Option<&Tensor>,
        kernel: Kernel<Tensor>,
        sampling: Sampling,
        at: &str,
    ) -> Result<Tensor> {
        clips::time_conv(xs, before, kernel, sampling).attempt(|| at)
    }

    fn dup_up(&self, xs: &Tensor, shape: DupUp3D, first: bool, at: &str) -> Result<Tensor> {
        clips::dup_up(xs, shape, first).attempt(|| at)
    }

    fn patchify(&self, xs: &Tensor, patch: usize, at: &str) -> Result<Tensor> {
        clips::patchify(xs, patch as i64).attempt(|| at)
    }

    fn unpatchify(&self, xs: &Tensor, patch: usize, at: &str) -> Result<Tensor> {
        clips::unpatchify(xs, patch as i64).attempt(|| at)
    }

    fn grouped_conv2d(
        &self,
        xs: &Tensor,
        kernel: Kernel<Tensor>,
        shape: Groups,
        at: &str,
    ) -> Result<Tensor> {
        let (padding, groups) = ([(shape.side / 2) as i64; 2], shape.groups as i64);
        xs.f_conv2d(kernel.weight, kernel.bias, [1, 1], padding, [1, 1], groups).attempt(|| at)
    }

    fn rms_norm_of_pixels(
        &self,
        xs: &Tensor,
        layer: Layer<Tensor>,
        eps: f64,
        at: &str,
    ) -> Result<Tensor> {
        shuffles::rms_norm_of_pixels(xs, layer, eps).attempt(|| at)
    }

    fn batch_norm(&self, xs: &Tensor, norm: BatchNorm<Tensor>, at: &str) -> Result<Tensor> {
        let BatchNorm { layer, running_mean, running_var, eps } = norm;
        let (weight, bias) = (Some(layer.weight), Some(layer.bias));
        let (mean, variance) = (Some(running_mean), Some(running_var));
        // What comes of training has no say after it: momentum is any.
        xs.f_batch_norm(weight, bias, mean, variance, false, 0.1, eps, true).attempt(|| at)
    }

    fn shuffled(&self, xs: &Tensor, shuffle: Shuffle, at: &str) -> Result<Tensor> {
        shuffles::shuffled(xs, shuffle).attempt(|| at)
    }

    fn stacked(&self, parts: [Tensor; 3], at: &str) -> Result<Tensor> {
        Tensor::f_cat(&parts, 3).and_then(|pixels| pixels.f_movedim_int(-1, 1)).attempt(|| at)
    }

    fn multiscale_attention(
        &self,
        scales: Vec<Tensor>,
        head_dim: usize,
        at: &str,
    ) -> Result<Tensor> {
        shuffles::multiscale_attention(&scales, head_dim as i64).attempt(|| at)
    }

    /// On the CPU, where one more pass over a tensor costs little; elsewhere it would wait for the device.
    fn beyond(&self, class: &str, xs: &Tensor, limit: f32) -> Result<Option<Beyond>> {
        let watched = WATCHED.contains(&class);
        if !watched || self.device != Device::Cpu || self.kind == Kind::Half {
            return Ok(None);
        }
        let (min, max) = xs.f_aminmax(None::<i64>, false).attempt(|| class)?;
        let [min, max] = [min, max].map(|value| value.f_double_value(&[]).attempt(|| class));
        let largest = min?.abs().max(max?.abs()) as f32;
        let is_beyond = largest > limit && largest.is_finite();
        Ok(is_beyond.then_some(Beyond::Output(largest)))
    }

    fn values(&self, xs: &Tensor) -> Result<(Vec<usize>, Vec<f32>)> {
        let shape = xs.size().iter().map(|&size| size as usize).collect();
        Ok((shape, to_values(xs)?))
    }
}

#[cfg(test)]
mod tests {
    use vae_fidelity_checkpoint::Source;

    use super::*;

    /// What only a processor with AMX shows in pixels, in the live comparison of `.ci/run`.
    #[test]
    fn weights_require_a_gradient_as_parameters_do() {
        let checkpoint = Checkpoint::open(&Source::Builtin, None).unwrap();
        for kind in [Kind::Float, Kind::BFloat16] {
            let engine = Reference { device: Device::Cpu, kind };
            let name = "decoder.mid_block.attentions.0.to_k.weight";
            assert!(engine.weight(&checkpoint, name).unwrap().requires_grad(), "{kind:?}");
        }
    }
}

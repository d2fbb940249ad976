//! The operations of the model, with everything between two convolutions deferred until it is read.

use std::cell::RefCell;

use tch::{Device, Kind, Tensor};

use super::deferred::{Deferred, State, Weight};
use super::operations::{Normalize, Operations, Sums};
use crate::autoencoder_kl::engine::{BatchNorm, Engine, First, Groups, Kernel, Layer, Shuffle};
use crate::autoencoder_kl::libtorch::{Attempt, copied, to_values};
use crate::autoencoder_kl::pending::Layout;
use crate::autoencoder_kl::reference::{self, Reference};
use crate::autoencoder_kl::shuffles;
use vae_fidelity_checkpoint::Checkpoint;
use vae_fidelity_core::config::Activation;
use vae_fidelity_core::graph::{AvgDown3D, DupUp3D, Elementwise};
use vae_fidelity_files::error::Result;

/// Computes on one device in one dtype, with sums, norms and activations in f32.
#[derive(Debug)]
pub(in crate::autoencoder_kl) struct Fused {
    device: Device,
    kind: Kind,
    operations: Operations,
    /// Why libtorch computes what the kernels are for.
    pub without_kernels: Option<String>,
}

impl Fused {
    pub fn new(device: Device, kind: Kind) -> Self {
        let (operations, without_kernels) = Operations::new(device, kind);
        Self { device, kind, operations, without_kernels }
    }

    /// An image (N, C, H, W) as the layers take it.
    pub fn lift(&self, image: &Tensor) -> Result<Deferred> {
        let hidden = image.f_permute([0, 2, 3, 1]).and_then(|tensor| tensor.f_contiguous());
        Ok(Deferred::ready(hidden.attempt(|| "laying out the input")?, Layout::Image))
    }

    /// The image (N, C, H, W), with no operation pending.
    pub fn lower(&self, xs: &Deferred) -> Result<Tensor> {
        self.materialized(xs, "output")?.f_permute([0, 3, 1, 2]).attempt(|| "output")
    }

    /// (N, H, W, C) with no operation pending.
    fn materialized(&self, xs: &Deferred, at: &str) -> Result<Tensor> {
        self.materialize(xs, at)?;
        Ok(xs.state.borrow().hidden.shallow_clone())
    }

    /// Applies the pending operations, and keeps the result.
    fn materialize(&self, xs: &Deferred, at: &str) -> Result<()> {
        let mut state = xs.state.borrow_mut();
        if let Some(normalize) = state.normalize.take() {
            state.hidden = self.operations.apply(&state.hidden, &normalize, None, at)?;
            state.sums = Sums::Later;
        }
        if let Some(bias) = state.bias.take() {
            let (hidden, sums) =
                self.operations.add(state.hidden.shallow_clone(), None, Some(&bias), at)?;
            (state.hidden, state.sums) = (hidden, sums);
        }
        Ok(())
    }

    /// What the reference engine makes of the image (N, C, H, W).
    fn as_reference(
        &self,
        xs: &Deferred,
        of: impl FnOnce(&Reference, &Tensor) -> Result<Tensor>,
    ) -> Result<Deferred> {
        let reference = Reference { device: self.device, kind: self.kind };
        self.lift(&of(&reference, &self.lower(xs)?)?)
    }

    /// `a + b` and both their biases, in one pass.
    fn sum(&self, a: Deferred, b: &Deferred, at: &str) -> Result<Deferred> {
        for xs in [&a, b] {
            if xs.state.borrow().normalize.is_some() {
                self.materialize(xs, at)?;
            }
        }
        let (a, b) = (a.state.into_inner(), b.state.borrow());
        let bias = match (a.bias, &b.bias) {
            (Some(a), Some(b)) => Some(a.f_add(b).attempt(|| at)?),
            (Some(one), None) => Some(one),
            (None, other) => other.as_ref().map(Tensor::shallow_clone),
        };
        let (hidden, sums) = self.operations.add(a.hidden, Some(&b.hidden), bias.as_ref(), at)?;
        Ok(Deferred {
            state: RefCell::new(State { hidden, bias: None, sums, normalize: None }),
            layout: Layout::Image,
        })
    }
}

impl Engine for Fused {
    type Tensor = Deferred;
    type Weight = Weight;

    fn weight(&self, checkpoint: &Checkpoint, name: &str) -> Result<Weight> {
        let at = || format!("loading {name}");
        let stored = reference::mapped(checkpoint, name)?;
        let f32 = match stored.dim() {
            1 => {
                let values =
                    stored.f_to_kind(Kind::Float).and_then(|it| it.f_to_device(self.device));
                Some(values.attempt(at)?)
            }
            _ => None,
        };
        let tensor = stored
            .f_to_kind(self.kind)
            .and_then(|tensor| tensor.f_to_device(self.device))
            // Of a kernel over time, the slice that one frame meets.
            .and_then(|tensor| match tensor.dim() {
                5 => tensor.f_select(2, -1),
                _ => Ok(tensor),
            })
            .and_then(|tensor| match tensor.dim() {
                4 => tensor.f_permute([0, 2, 3, 1])?.f_contiguous()?.f_permute([0, 3, 1, 2]),
                _ => Ok(tensor),
            })
            .attempt(at)?;
        Ok(Weight { tensor, f32 })
    }

    fn conv2d(
        &self,
        xs: &Deferred,
        kernel: Kernel<Weight>,
        stride: usize,
        padding: usize,
        at: &str,
    ) -> Result<Deferred> {
        let (stride, padding) = ([stride as i64; 2], [padding as i64; 2]);
        let hidden = self
            .materialized(xs, at)?
            .f_permute([0, 3, 1, 2])
            .and_then(|image| {
                let weight = &kernel.weight.tensor;
                image.f_conv2d(weight, None::<&Tensor>, stride, padding, [1, 1], 1)
            })
            .and_then(|image| image.f_permute([0, 2, 3, 1])?.f_contiguous())
            .attempt(|| at)?;
        let bias = kernel.bias.and_then(|bias| bias.f32.as_ref()).map(Tensor::shallow_clone);
        let state = State { hidden, bias, sums: Sums::Later, normalize: None };
        Ok(Deferred { state: RefCell::new(state), layout: Layout::Image })
    }

    fn group_norm(
        &self,
        xs: &Deferred,
        layer: Layer<Weight>,
        groups: usize,
        eps: f64,
        at: &str,
    ) -> Result<Deferred> {
        if xs.state.borrow().normalize.is_some() {
            self.materialize(xs, at)?;
        }
        let state = xs.state.borrow();
        let State { hidden, bias, sums, .. } = &*state;
        let vectors = |weight: &Weight| -> Result<Tensor> {
            match &weight.f32 {
                Some(values) => Ok(values.shallow_clone()),
                None => weight.tensor.f_to_kind(Kind::Float).attempt(|| at),
            }
        };
        let (weight, beta) = (vectors(layer.weight)?, vectors(layer.bias)?);
        let layer = Layer { weight: &weight, bias: &beta };
        let normalize =
            self.operations.normalize(hidden, sums, bias.as_ref(), layer, (groups, eps), at)?;
        let hidden = hidden.shallow_clone();
        let normed = State { hidden, bias: None, sums: Sums::Later, normalize: Some(normalize) };
        Ok(Deferred { state: RefCell::new(normed), layout: xs.layout })
    }

    fn linear(&self, xs: &Deferred, layer: Kernel<Weight>, at: &str) -> Result<Deferred> {
        let hidden = self.materialized(xs, at)?;
        let bias = layer.bias.map(|bias| &bias.tensor);
        let hidden = hidden.f_linear(&layer.weight.tensor, bias).attempt(|| at)?;
        Ok(Deferred::ready(hidden, xs.layout))
    }

    fn activation(&self, xs: Deferred, activation: Activation) -> Result<Deferred> {
        let at = "activation";
        let layout = xs.layout;
        if xs.state.borrow().normalize.is_none() {
            // An activation of something else than a norm.
            let hidden = self.materialized(&xs, at)?;
            let size = hidden.size();
            let ones = |value: f64| {
                Tensor::f_full([size[0], size[3]], value, (Kind::Float, self.device)).attempt(|| at)
            };
            let identity = Normalize { scale: ones(1.0)?, shift: ones(0.0)? };
            let hidden = self.operations.apply(&hidden, &identity, Some(activation), at)?;
            return Ok(Deferred::ready(hidden, layout));
        }
        let state = xs.state.into_inner();
        let hidden = match &state.normalize {
            Some(normalize) => {
                self.operations.apply(&state.hidden, normalize, Some(activation), at)?
            }
            None => state.hidden,
        };
        Ok(Deferred::ready(hidden, layout))
    }

    fn pad(&self, xs: &Deferred, at: &str) -> Result<Deferred> {
        let padded = self.materialized(xs, at)?.f_pad([0, 0, 0, 1, 0, 1], "constant", Some(0.0));
        Ok(Deferred::ready(padded.attempt(|| at)?, Layout::Image))
    }

    fn upsample_nearest_2x(&self, xs: &Deferred, at: &str) -> Result<Deferred> {
        let upsampled = self.operations.upsample_nearest_2x(&self.materialized(xs, at)?, at)?;
        Ok(Deferred::ready(upsampled, Layout::Image))
    }

    fn copied(&self, xs: &Deferred, at: &str) -> Result<Deferred> {
        let hidden = copied(&self.materialized(xs, at)?).attempt(|| at)?;
        Ok(Deferred::ready(hidden, xs.layout))
    }

    /// As the reference engine.
    fn elementwise(&self, xs: Deferred, function: Elementwise, at: &str) -> Result<Deferred> {
        let reference = Reference { device: self.device, kind: self.kind };
        let hidden = reference.elementwise(self.materialized(&xs, at)?, function, at)?;
        Ok(Deferred::ready(hidden, xs.layout))
    }

    fn add_to_input(
        &self,
        input: Deferred,
        hidden: Deferred,
        _: First,
        at: &str,
    ) -> Result<Deferred> {
        self.sum(hidden, &input, at)
    }

    fn add_residual(&self, hidden: Deferred, residual: &Deferred, at: &str) -> Result<Deferred> {
        self.sum(hidden, residual, at)
    }

    fn flatten(&self, xs: &Deferred, _: &str) -> Result<Deferred> {
        Ok(xs.laid_out_as(Layout::Flat))
    }

    fn to_tokens(&self, xs: &Deferred, _: &str) -> Result<Deferred> {
        Ok(xs.laid_out_as(Layout::Tokens))
    }

    fn scaled_dot_product_attention(
        &self,
        query: Deferred,
        key: Deferred,
        value: Deferred,
        at: &str,
    ) -> Result<Deferred> {
        let size = self.materialized(&query, at)?.size();
        // (N, H * W, C)
        let tokens = |xs: &Deferred| {
            self.materialized(xs, at)?.f_reshape([size[0], -1, size[3]]).attempt(|| at)
        };
        let (query, key, value) = (tokens(&query)?, tokens(&key)?, tokens(&value)?);
        let attended = self.operations.scaled_dot_product_attention([&query, &key, &value], at)?;
        Ok(Deferred::ready(attended.f_reshape(&size).attempt(|| at)?, Layout::Tokens))
    }

    fn to_image(&self, tokens: &Deferred, _: &Deferred, _: &str) -> Result<Deferred> {
        Ok(tokens.laid_out_as(Layout::Image))
    }

    fn causal_conv3d(
        &self,
        xs: &Deferred,
        kernel: Kernel<Weight>,
        padding: usize,
        at: &str,
    ) -> Result<Deferred> {
        self.conv2d(xs, kernel, 1, padding, at)
    }

    fn rms_norm(&self, xs: &Deferred, gamma: &Weight, at: &str) -> Result<Deferred> {
        let hidden = self.operations.rms_norm(&self.materialized(xs, at)?, &gamma.tensor, at)?;
        Ok(Deferred::ready(hidden, Layout::Image))
    }

    fn qkv_attention(&self, qkv: Deferred, at: &str) -> Result<Deferred> {
        let qkv = self.materialized(&qkv, at)?;
        let size = qkv.size();
        let (n, h, w, c) = (size[0], size[1], size[2], size[3] / 3);
        let part = |number: i64| {
            let part = qkv.f_narrow(3, number * c, c).and_then(|part| part.f_contiguous());
            part.and_then(|part| part.f_view([n, h * w, c])).attempt(|| at)
        };
        let (query, key, value) = (part(0)?, part(1)?, part(2)?);
        let attended = self.operations.scaled_dot_product_attention([&query, &key, &value], at)?;
        let image = attended.f_reshape([n, h, w, c]).attempt(|| at)?;
        Ok(Deferred::ready(image, Layout::Image))
    }

    fn attention_of_images(
        &self,
        [query, key, value]: [Deferred; 3],
        at: &str,
    ) -> Result<Deferred> {
        let attended = self.scaled_dot_product_attention(query, key, value, at)?;
        Ok(attended.laid_out_as(Layout::Image))
    }

    fn avg_down(&self, xs: &Deferred, shape: AvgDown3D, first: bool, at: &str) -> Result<Deferred> {
        self.as_reference(xs, |reference, image| reference.avg_down(image, shape, first, at))
    }

    fn dup_up(&self, xs: &Deferred, shape: DupUp3D, first: bool, at: &str) -> Result<Deferred> {
        self.as_reference(xs, |reference, image| reference.dup_up(image, shape, first, at))
    }

    fn patchify(&self, xs: &Deferred, patch: usize, at: &str) -> Result<Deferred> {
        self.as_reference(xs, |reference, image| reference.patchify(image, patch, at))
    }

    fn unpatchify(&self, xs: &Deferred, patch: usize, at: &str) -> Result<Deferred> {
        self.as_reference(xs, |reference, image| reference.unpatchify(image, patch, at))
    }

    fn grouped_conv2d(
        &self,
        xs: &Deferred,
        kernel: Kernel<Weight>,
        shape: Groups,
        at: &str,
    ) -> Result<Deferred> {
        let (weight, bias) = (&kernel.weight.tensor, kernel.bias.map(|bias| &bias.tensor));
        self.as_reference(xs, |reference, image| {
            reference.grouped_conv2d(image, Kernel { weight, bias }, shape, at)
        })
    }

    /// Channels lie last as they are.
    fn rms_norm_of_pixels(
        &self,
        xs: &Deferred,
        layer: Layer<Weight>,
        eps: f64,
        at: &str,
    ) -> Result<Deferred> {
        let layer = Layer { weight: &layer.weight.tensor, bias: &layer.bias.tensor };
        let normed = shuffles::rms_norm_of_pixels(&self.materialized(xs, at)?, layer, eps);
        Ok(Deferred::ready(normed.attempt(|| at)?, xs.layout))
    }

    fn batch_norm(&self, xs: &Deferred, norm: BatchNorm<Weight>, at: &str) -> Result<Deferred> {
        let norm = BatchNorm {
            layer: Layer { weight: &norm.layer.weight.tensor, bias: &norm.layer.bias.tensor },
            running_mean: &norm.running_mean.tensor,
            running_var: &norm.running_var.tensor,
            eps: norm.eps,
        };
        self.as_reference(xs, |reference, image| reference.batch_norm(image, norm, at))
    }

    fn shuffled(&self, xs: &Deferred, shuffle: Shuffle, at: &str) -> Result<Deferred> {
        match shuffle {
            Shuffle::ChannelsLast => Ok(xs.laid_out_as(Layout::Pixels)),
            Shuffle::ChannelsFirst => Ok(xs.laid_out_as(Layout::Image)),
            other => self.as_reference(xs, |reference, image| reference.shuffled(image, other, at)),
        }
    }

    fn stacked(&self, parts: [Deferred; 3], at: &str) -> Result<Deferred> {
        let [query, key, value] = parts.map(|part| self.materialized(&part, at));
        let stacked = Tensor::f_cat(&[query?, key?, value?], 3).attempt(|| at)?;
        Ok(Deferred::ready(stacked, Layout::Image))
    }

    fn multiscale_attention(
        &self,
        scales: Vec<Deferred>,
        head_dim: usize,
        at: &str,
    ) -> Result<Deferred> {
        let scales = scales.iter().map(|xs| self.lower(xs)).collect::<Result<Vec<_>>>()?;
        self.lift(&shuffles::multiscale_attention(&scales, head_dim as i64).attempt(|| at)?)
    }

    fn values(&self, xs: &Deferred) -> Result<(Vec<usize>, Vec<f32>)> {
        let at = "copying a result from libtorch";
        let hidden = self.materialized(xs, at)?;
        let size = hidden.size();
        let (n, h, w, c) = (size[0], size[1], size[2], size[3]);
        let laid_out = match xs.layout {
            Layout::Image => hidden.f_permute([0, 3, 1, 2]),
            Layout::Flat => {
                hidden.f_reshape([n, h * w, c]).and_then(|tokens| tokens.f_transpose(1, 2))
            }
            Layout::Tokens => hidden.f_reshape([n, h * w, c]),
            Layout::Pixels => Ok(hidden),
        };
        let laid_out = laid_out.attempt(|| at)?;
        let shape = laid_out.size().iter().map(|&size| size as usize).collect();
        Ok((shape, to_values(&laid_out)?))
    }
}

//! The fast engine: f32 arithmetic on the CPU, without libtorch. For half precision, weights and the
//! output of every layer are rounded.

use std::borrow::Cow;
use std::fs::File;
use std::sync::{Arc, PoisonError};

use vae_fidelity_checkpoint::Checkpoint;
use vae_fidelity_core::config::Activation;
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_files::error::Result;

use super::engine::{Beyond, Engine, Layer};
use super::pending::{DeferredConv2d, Layout, Lazy, LazyConv2d, Pending};
use vae_fidelity_kernels::extreme::beyond;
use vae_fidelity_kernels::limit::Limit;
use vae_fidelity_kernels::memory::{Memory, Workspace};
use vae_fidelity_kernels::norm::{Normalize, add, group_norm};
use vae_fidelity_kernels::tensor::NhwcTensor;
use vae_fidelity_kernels::threads::{Instructions, Threads};
use vae_fidelity_kernels::{attention, direct, winograd};

/// With fewer input channels, Winograd's products are too small to be worthwhile.
const WINOGRAD_INPUTS: usize = 16;

/// Computes with `vae_fidelity_kernels`.
#[derive(Debug)]
pub(super) struct Fast {
    checkpoint: Checkpoint,
    threads: Threads,
    /// The type that weights and outputs are rounded to.
    dtype: Dtype,
    workspace: Workspace,
}

impl Fast {
    pub fn new(checkpoint: &Checkpoint, threads: Threads) -> Self {
        let checkpoint = checkpoint.clone();
        Self { checkpoint, threads, dtype: Dtype::F32, workspace: Workspace::default() }
    }

    /// The same with weights and outputs rounded to `dtype`.
    pub fn rounded_to(self, dtype: Dtype) -> Self {
        let checkpoint = match dtype {
            Dtype::F32 => self.checkpoint,
            half => self.checkpoint.rounded_to(half),
        };
        Self { checkpoint, dtype, ..self }
    }

    /// The same without vectors, and without Winograd's algorithm.
    pub fn plain(self) -> Self {
        let threads = Threads { instructions: Instructions::Plain, ..self.threads };
        Self { threads, ..self }
    }

    /// The same model with activations in `file`, within `limit`.
    pub fn within(&self, file: &File, limit: Arc<Limit>) -> std::io::Result<Self> {
        let workspace =
            Workspace { activations: Memory::in_file(file, limit)?, ..Workspace::default() };
        Ok(Self { workspace, dtype: self.dtype, ..Self::new(&self.checkpoint, self.threads) })
    }

    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    pub fn threads(&self) -> Threads {
        self.threads
    }

    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// An image of the values (channels, height, width), as a layer takes it.
    pub fn image(
        &self,
        (channels, height, width): (usize, usize, usize),
        planes: &[f32],
    ) -> NhwcTensor {
        let memory = &self.workspace.activations;
        self.rounded(NhwcTensor::from_chw(memory, height, width, channels, planes))
    }

    fn rounded(&self, mut image: NhwcTensor) -> NhwcTensor {
        if self.dtype != Dtype::F32 {
            let row = image.width * image.pitch;
            self.threads.for_each_part(image.values_mut(), row, |_, values| {
                self.dtype.round_all(values);
                self.workspace.activations.keep_within_limit();
            });
        }
        image
    }

    /// The output of a layer: in f32 with its pending operations, else materialized and rounded.
    fn output(&self, xs: Pending) -> Pending {
        if self.dtype == Dtype::F32 {
            return xs;
        }
        let (layout, memory) = (xs.layout, &self.workspace.activations);
        let images = self.materialize(xs).into_images(memory).map(|image| self.rounded(image));
        Pending { layout, ..Pending::new(images.collect()) }
    }

    /// Returns unused memory to the system, which is kept while a model runs.
    pub fn release(&self) {
        self.workspace.activations.release();
        self.workspace.scratch.release();
    }

    fn weights(&self, name: &str) -> Result<Cow<'_, [f32]>> {
        let stored = self.checkpoint.tensor(name)?;
        if let (Dtype::F32, Cow::Borrowed(data)) = (stored.dtype, &stored.data)
            && let Ok(values) = bytemuck::try_cast_slice(data)
        {
            return Ok(Cow::Borrowed(values));
        }
        Ok(Cow::Owned(stored.to_f32()))
    }

    fn materialize(&self, xs: Pending) -> Pending {
        xs.materialize(self.threads, &self.workspace.activations)
    }

    /// `xs` with its convolution computed.
    fn ready(&self, xs: &Lazy) -> Result<Pending> {
        let state = match xs {
            Lazy::Ready(pending) => return Ok(pending.clone()),
            Lazy::Conv2d(state) => state,
        };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let pending = match &*state {
            LazyConv2d::Materialized(pending) => return Ok(pending.clone()),
            LazyConv2d::Deferred(deferred) => self.winograd(deferred.clone(), None)?,
        };
        *state = LazyConv2d::Materialized(pending.clone());
        Ok(pending)
    }

    /// [`Self::ready`] of a tensor that nothing else needs.
    fn owned(&self, xs: Lazy) -> Result<Pending> {
        match xs.into_conv2d() {
            LazyConv2d::Materialized(pending) => Ok(pending),
            LazyConv2d::Deferred(deferred) => self.winograd(deferred, None),
        }
    }

    /// Runs a convolution, and adds its output to `onto` if there is one.
    fn winograd(&self, deferred: DeferredConv2d, onto: Option<Pending>) -> Result<Pending> {
        let DeferredConv2d { input, weight: name, bias } = deferred;
        let (weight, bias) = (self.weights(&name)?, self.weights(&bias)?);
        let input = if input.padded { self.materialize(input) } else { input };
        let mut onto =
            onto.map(|onto| self.materialize(onto).into_images(&self.workspace.activations));
        let convolve = |(number, image): (usize, &Arc<NhwcTensor>)| {
            let params = winograd::Conv2dParams {
                weight: &weight,
                bias: &bias,
                inputs: image.channels,
                outputs: bias.len(),
                normalize: input.normalize_of(number),
                upsample: input.upsample,
            };
            let onto = onto.as_mut().and_then(Iterator::next);
            winograd::convolve(self.threads, params, image, onto, &self.workspace)
        };
        let images = input.images.iter().enumerate().map(convolve).collect();
        // The mapped pages of the weights are not needed again in this run.
        self.checkpoint.forget(&name);
        Ok(Pending::new(images))
    }
}

impl Engine for Fast {
    type Tensor = Lazy;
    /// The tensor's name: it is read when it is used.
    type Weight = String;

    fn weight(&self, _: &Checkpoint, name: &str) -> Result<String> {
        Ok(name.to_owned())
    }

    fn conv2d(
        &self,
        xs: &Lazy,
        layer: Layer<String>,
        stride: usize,
        padding: usize,
        _: &str,
    ) -> Result<Lazy> {
        let xs = self.ready(xs)?;
        let inputs = xs.images[0].channels;
        // Padding keeps the size, so that a padding of one belongs to a kernel of 3x3.
        let plain = self.threads.instructions == Instructions::Plain;
        if (stride, padding) == (1, 1) && inputs >= WINOGRAD_INPUTS && !plain {
            let (weight, bias) = (layer.weight.clone(), layer.bias.clone());
            let deferred = DeferredConv2d { input: xs, weight, bias };
            return Ok(match self.dtype {
                Dtype::F32 => Lazy::deferred(deferred),
                // A sum adds rounded values.
                _ => self.output(self.winograd(deferred, None)?).into(),
            });
        }
        let (weight, bias) = (self.weights(layer.weight)?, self.weights(layer.bias)?);
        let outputs = bias.len();
        // Weights are (out, in, side, side).
        let side = (weight.len() / (inputs * outputs)).isqrt();
        let xs = if xs.upsample { self.materialize(xs) } else { xs };
        let convolve = |(number, image): (usize, &Arc<NhwcTensor>)| {
            let params = direct::Conv2dParams {
                weight: &weight,
                bias: &bias,
                inputs,
                outputs,
                side,
                stride,
                padding,
                normalize: xs.normalize_of(number),
            };
            let size =
                |length: usize| (length + 2 * padding + usize::from(xs.padded) - side) / stride + 1;
            let size = (size(image.height), size(image.width));
            direct::convolve(self.threads, params, image, size, &self.workspace)
        };
        let images = xs.images.iter().enumerate().map(convolve).collect();
        self.checkpoint.forget(layer.weight);
        Ok(self.output(Pending::new(images)).into())
    }

    fn group_norm(
        &self,
        xs: &Lazy,
        layer: Layer<String>,
        groups: usize,
        eps: f64,
        _: &str,
    ) -> Result<Lazy> {
        let (weight, bias) = (self.weights(layer.weight)?, self.weights(layer.bias)?);
        let mut xs = self.materialize(self.ready(xs)?);
        let normalize = xs
            .images
            .iter()
            .map(|image| group_norm(self.threads, image, groups, &weight, &bias, eps))
            .collect();
        xs.normalize = Some(Arc::new(normalize));
        Ok(self.output(xs).into())
    }

    fn linear(&self, xs: &Lazy, layer: Layer<String>, _: &str) -> Result<Lazy> {
        let xs = self.ready(xs)?;
        let (weight, bias) = (self.weights(layer.weight)?, self.weights(layer.bias)?);
        let linear = |(number, image): (usize, &Arc<NhwcTensor>)| {
            let params = direct::Conv2dParams {
                weight: &weight,
                bias: &bias,
                inputs: image.channels,
                outputs: bias.len(),
                side: 1,
                stride: 1,
                padding: 0,
                normalize: xs.normalize_of(number),
            };
            let size = (image.height, image.width);
            direct::convolve(self.threads, params, image, size, &self.workspace)
        };
        let images = xs.images.iter().enumerate().map(linear).collect();
        Ok(self.output(Pending { layout: xs.layout, ..Pending::new(images) }).into())
    }

    fn activation(&self, xs: Lazy, activation: Activation) -> Result<Lazy> {
        let xs = self.owned(xs)?;
        let mut xs = if xs.upsample || xs.padded { self.materialize(xs) } else { xs };
        let pending = match xs.normalize.take() {
            Some(pending) if pending.iter().all(|one| one.activation.is_none()) => {
                Arc::unwrap_or_clone(pending)
            }
            pending => {
                xs.normalize = pending;
                xs = self.materialize(xs);
                xs.images.iter().map(|image| Normalize::identity(image)).collect()
            }
        };
        let with = |normalize| Normalize { activation: Some(activation), ..normalize };
        xs.normalize = Some(Arc::new(pending.into_iter().map(with).collect()));
        Ok(xs.into())
    }

    fn pad(&self, xs: &Lazy, _: &str) -> Result<Lazy> {
        Ok(Pending { padded: true, ..self.materialize(self.ready(xs)?) }.into())
    }

    fn upsample_nearest_2x(&self, xs: &Lazy, _: &str) -> Result<Lazy> {
        let xs = self.ready(xs)?;
        let xs = if xs.upsample || xs.padded { self.materialize(xs) } else { xs };
        Ok(Pending { upsample: true, ..xs }.into())
    }

    /// Images are shared, and copied where one of their holders writes.
    fn copied(&self, xs: &Lazy, _: &str) -> Result<Lazy> {
        Ok(self.ready(xs)?.into())
    }

    fn add_to_input(&self, input: Lazy, hidden: Lazy, _: &str) -> Result<Lazy> {
        let input = self.materialize(self.owned(input)?);
        let hidden = match hidden.into_conv2d() {
            LazyConv2d::Deferred(deferred) => {
                return Ok(self.winograd(deferred, Some(input))?.into());
            }
            LazyConv2d::Materialized(pending) => self.materialize(pending),
        };
        Ok(self.sum(hidden, &input).into())
    }

    fn add_residual(&self, hidden: Lazy, residual: &Lazy, _: &str) -> Result<Lazy> {
        let hidden = self.materialize(self.owned(hidden)?);
        Ok(self.sum(hidden, &self.materialize(self.ready(residual)?)).into())
    }

    fn flatten(&self, xs: &Lazy, _: &str) -> Result<Lazy> {
        Ok(Pending { layout: Layout::Flat, ..self.ready(xs)? }.into())
    }

    fn to_tokens(&self, xs: &Lazy, _: &str) -> Result<Lazy> {
        Ok(Pending { layout: Layout::Tokens, ..self.ready(xs)? }.into())
    }

    fn scaled_dot_product_attention(
        &self,
        query: Lazy,
        key: Lazy,
        value: Lazy,
        _: &str,
    ) -> Result<Lazy> {
        let [query, key, value] = [query, key, value].map(|xs| self.owned(xs));
        let (query, key, value) = (query?, key?, value?);
        let attend =
            |((query, key), value): ((&Arc<NhwcTensor>, &Arc<NhwcTensor>), &Arc<NhwcTensor>)| {
                attention::scaled_dot_product_attention(
                    self.threads,
                    query,
                    key,
                    value,
                    &self.workspace,
                )
            };
        let images = query.images.iter().zip(&key.images).zip(&value.images).map(attend).collect();
        Ok(Pending { layout: Layout::Tokens, ..Pending::new(images) }.into())
    }

    fn to_image(&self, tokens: &Lazy, _: &Lazy, _: &str) -> Result<Lazy> {
        Ok(Pending { layout: Layout::Image, ..self.ready(tokens)? }.into())
    }

    /// A norm's input is computed when it is, and keeps the sums that bound it; a convolution before a sum is
    /// not, and the sum is the next norm's input.
    fn beyond(&self, class: &str, xs: &Lazy, limit: f32) -> Result<Option<Beyond>> {
        let Lazy::Ready(xs) = xs else { return Ok(None) };
        let largest = || {
            let beyond = xs.images.iter().filter_map(|image| beyond(self.threads, image, limit));
            beyond.reduce(f32::max)
        };
        Ok(match (self.dtype, class) {
            (Dtype::F32, "GroupNorm") if xs.normalize.is_some() => largest().map(Beyond::Input),
            // There every output is computed and rounded at once.
            (Dtype::Bf16, "Conv2d" | "ResnetBlock2D" | "Attention") => {
                largest().map(Beyond::Output)
            }
            _ => None,
        })
    }

    fn values(&self, xs: &Lazy) -> Result<(Vec<usize>, Vec<f32>)> {
        let xs = self.materialize(self.ready(xs)?);
        let first = &xs.images[0];
        let (n, c, h, w) = (xs.images.len(), first.channels, first.height, first.width);
        let mut values = vec![0.0; n * c * h * w];
        for (image, out) in xs.images.iter().zip(values.chunks_exact_mut(c * h * w)) {
            match xs.layout {
                Layout::Image | Layout::Flat => image.write_chw(&self.workspace.activations, out),
                Layout::Tokens => image.write_hwc(out),
            }
        }
        let shape = match xs.layout {
            Layout::Image => vec![n, c, h, w],
            Layout::Flat => vec![n, c, h * w],
            Layout::Tokens => vec![n, h * w, c],
        };
        Ok((shape, values))
    }
}

impl Fast {
    /// `a` + `b`, in place where nothing else holds `a`.
    fn sum(&self, a: Pending, b: &Pending) -> Pending {
        let sum = |(mut sum, b): (NhwcTensor, &Arc<NhwcTensor>)| {
            add(self.threads, &mut sum, b);
            self.rounded(sum)
        };
        Pending::new(a.into_images(&self.workspace.activations).zip(&b.images).map(sum).collect())
    }
}

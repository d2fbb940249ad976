//! The fast engine: f32 on the CPU, without libtorch, rounding as it likes.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::checkpoint::Checkpoint;
use crate::config::Activation;
use crate::dtype::Dtype;
use crate::error::Result;

use super::engine::{Engine, Layer};
use super::kernels::image::Image;
use super::kernels::norm::{Normalise, add, group_norm, normalised};
use super::kernels::threads::Threads;
use super::kernels::{attention, direct, winograd};

/// Fewer input channels than this leave Winograd's products too small to pay.
const WINOGRAD_INPUTS: usize = 16;

/// Computes with the kernels of this crate.
#[derive(Debug)]
pub(super) struct Fast {
    checkpoint: Checkpoint,
    threads: Threads,
    workspace: Mutex<winograd::Workspace>,
}

impl Fast {
    pub fn new(checkpoint: &Checkpoint, threads: Threads) -> Self {
        Self { checkpoint: checkpoint.clone(), threads, workspace: Mutex::default() }
    }

    fn values(&self, name: &str) -> Result<Cow<'_, [f32]>> {
        let stored = self.checkpoint.tensor(name)?;
        if let (Dtype::F32, Cow::Borrowed(data)) = (stored.dtype, &stored.data)
            && let Ok(values) = bytemuck::try_cast_slice(data)
        {
            return Ok(Cow::Borrowed(values));
        }
        Ok(Cow::Owned(stored.to_f32()))
    }

    fn workspace(&self) -> MutexGuard<'_, winograd::Workspace> {
        // What an interrupted layer left there is written over before it is read.
        self.workspace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Images of one batch, and what the layer that reads them has to do first.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    images: Vec<Arc<Image>>,
    /// One for each image.
    normalise: Option<Arc<Vec<Normalise>>>,
    doubled: bool,
    padded: bool,
    layout: Layout,
}

/// The order in which diffusers has the values; here they always lie pixel by pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// (N, C, H, W)
    Image,
    /// (N, C, H * W)
    Flat,
    /// (N, H * W, C)
    Tokens,
}

impl Pending {
    pub fn new(images: Vec<Image>) -> Self {
        let images = images.into_iter().map(Arc::new).collect();
        Self { images, normalise: None, doubled: false, padded: false, layout: Layout::Image }
    }

    fn normalise_of(&self, image: usize) -> Option<&Normalise> {
        self.normalise.as_ref().map(|all| &all[image])
    }

    /// The same with nothing left to do.
    fn settled(self, threads: Threads) -> Self {
        if self.normalise.is_none() && !self.doubled && !self.padded {
            return self;
        }
        let settle = |(number, image): (usize, &Arc<Image>)| {
            let image = match self.normalise_of(number) {
                Some(normalise) => Cow::Owned(normalised(threads, image, normalise)),
                None => Cow::Borrowed(image.as_ref()),
            };
            let image = if self.doubled { Cow::Owned(image.doubled()) } else { image };
            if self.padded { image.padded() } else { image.into_owned() }
        };
        let images = self.images.iter().enumerate().map(settle).collect();
        Self { layout: self.layout, ..Self::new(images) }
    }
}

impl Engine for Fast {
    type Tensor = Pending;
    /// The tensor's name: it is read when it is used.
    type Weight = String;

    fn weight(&self, _: &Checkpoint, name: &str) -> Result<String> {
        Ok(name.to_owned())
    }

    fn conv2d(
        &self,
        xs: &Pending,
        layer: Layer<String>,
        stride: usize,
        padding: usize,
        _: &str,
    ) -> Result<Pending> {
        let (weight, bias) = (self.values(layer.weight)?, self.values(layer.bias)?);
        let (inputs, outputs) = (xs.images[0].channels, bias.len());
        // Weights are (out, in, side, side).
        let side = (weight.len() / (inputs * outputs)).isqrt();
        let winograd = side == 3 && (stride, padding) == (1, 1) && inputs >= WINOGRAD_INPUTS;
        let readable = if winograd { !xs.padded } else { !xs.doubled };
        let xs = xs.clone();
        let xs = if readable { xs } else { xs.settled(self.threads) };
        let convolve = |(number, image): (usize, &Arc<Image>)| {
            let normalise = xs.normalise_of(number);
            if winograd {
                let doubled = xs.doubled;
                let of = winograd::Convolution {
                    weight: &weight,
                    bias: &bias,
                    inputs,
                    outputs,
                    normalise,
                    doubled,
                };
                return winograd::convolve(self.threads, of, image, &mut self.workspace());
            }
            let of = direct::Convolution {
                weight: &weight,
                bias: &bias,
                inputs,
                outputs,
                side,
                stride,
                padding,
                normalise,
            };
            let size =
                |length: usize| (length + 2 * padding + usize::from(xs.padded) - side) / stride + 1;
            direct::convolve(self.threads, of, image, (size(image.height), size(image.width)))
        };
        let images = xs.images.iter().enumerate().map(convolve).collect();
        // What the mapped file takes is not needed again in this run.
        self.checkpoint.forget(layer.weight);
        Ok(Pending::new(images))
    }

    fn group_norm(
        &self,
        xs: &Pending,
        layer: Layer<String>,
        groups: usize,
        eps: f64,
        _: &str,
    ) -> Result<Pending> {
        let (weight, bias) = (self.values(layer.weight)?, self.values(layer.bias)?);
        let mut xs = xs.clone().settled(self.threads);
        let normalise = xs
            .images
            .iter()
            .map(|image| group_norm(self.threads, image, groups, &weight, &bias, eps))
            .collect();
        xs.normalise = Some(Arc::new(normalise));
        Ok(xs)
    }

    fn linear(&self, xs: &Pending, layer: Layer<String>, _: &str) -> Result<Pending> {
        let (weight, bias) = (self.values(layer.weight)?, self.values(layer.bias)?);
        let linear = |(number, image): (usize, &Arc<Image>)| {
            let of = direct::Convolution {
                weight: &weight,
                bias: &bias,
                inputs: image.channels,
                outputs: bias.len(),
                side: 1,
                stride: 1,
                padding: 0,
                normalise: xs.normalise_of(number),
            };
            direct::convolve(self.threads, of, image, (image.height, image.width))
        };
        let images = xs.images.iter().enumerate().map(linear).collect();
        Ok(Pending { layout: xs.layout, ..Pending::new(images) })
    }

    fn activation(&self, xs: Pending, activation: Activation) -> Result<Pending> {
        let mut xs = if xs.doubled || xs.padded { xs.settled(self.threads) } else { xs };
        let pending = match xs.normalise.take() {
            Some(pending) if pending.iter().all(|one| one.activation.is_none()) => {
                Arc::unwrap_or_clone(pending)
            }
            pending => {
                xs.normalise = pending;
                xs = xs.settled(self.threads);
                xs.images.iter().map(|image| Normalise::identity(image)).collect()
            }
        };
        let with = |normalise| Normalise { activation: Some(activation), ..normalise };
        xs.normalise = Some(Arc::new(pending.into_iter().map(with).collect()));
        Ok(xs)
    }

    fn pad(&self, xs: &Pending, _: &str) -> Result<Pending> {
        Ok(Pending { padded: true, ..xs.clone().settled(self.threads) })
    }

    fn double(&self, xs: &Pending, _: &str) -> Result<Pending> {
        let xs = xs.clone();
        let xs = if xs.doubled || xs.padded { xs.settled(self.threads) } else { xs };
        Ok(Pending { doubled: true, ..xs })
    }

    fn add_to_input(&self, input: &Pending, hidden: Pending, at: &str) -> Result<Pending> {
        self.add_residual(hidden, input, at)
    }

    fn add_residual(&self, a: Pending, b: &Pending, _: &str) -> Result<Pending> {
        let (a, b) = (a.settled(self.threads), b.clone().settled(self.threads));
        let sum = |(a, b): (Arc<Image>, &Arc<Image>)| {
            // What nobody else holds is added to where it lies.
            let mut sum = Arc::unwrap_or_clone(a);
            add(self.threads, &mut sum, b);
            sum
        };
        Ok(Pending::new(a.images.into_iter().zip(&b.images).map(sum).collect()))
    }

    fn flatten(&self, xs: &Pending, _: &str) -> Result<Pending> {
        Ok(Pending { layout: Layout::Flat, ..xs.clone() })
    }

    fn to_tokens(&self, xs: &Pending, _: &str) -> Result<Pending> {
        Ok(Pending { layout: Layout::Tokens, ..xs.clone() })
    }

    fn attend(&self, query: Pending, key: Pending, value: Pending, _: &str) -> Result<Pending> {
        let images = query.images.iter().zip(&key.images).zip(&value.images);
        let images = images
            .map(|((query, key), value)| attention::attend(self.threads, query, key, value))
            .collect();
        Ok(Pending { layout: Layout::Tokens, ..Pending::new(images) })
    }

    fn to_image(&self, tokens: &Pending, _: &Pending, _: &str) -> Result<Pending> {
        Ok(Pending { layout: Layout::Image, ..tokens.clone() })
    }

    fn values(&self, xs: &Pending) -> Result<(Vec<usize>, Vec<f32>)> {
        let xs = xs.clone().settled(self.threads);
        let first = &xs.images[0];
        let (n, c, h, w) = (xs.images.len(), first.channels, first.height, first.width);
        let mut values = vec![0.0; n * c * h * w];
        for (image, out) in xs.images.iter().zip(values.chunks_exact_mut(c * h * w)) {
            match xs.layout {
                Layout::Image | Layout::Flat => image.to_planes(out),
                Layout::Tokens => image.to_pixels(out),
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

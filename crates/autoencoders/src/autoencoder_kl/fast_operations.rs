//! The operations of a model on the fast engine: each computes, or is left pending until another needs it.

use std::borrow::Cow;
use std::sync::Arc;

use vae_fidelity_checkpoint::Checkpoint;
use vae_fidelity_core::config::Activation;
use vae_fidelity_core::graph::{AvgDown3D, DupUp3D, Elementwise, Sampling};
use vae_fidelity_files::error::Result;

use super::engine::{BatchNorm, Beyond, Engine, First, Groups, Kernel, Layer, Shuffle};
use super::fast::Fast;
use super::pending::{Layout, Lazy, LazyConv2d, Pending};
use vae_fidelity_kernels::norm::{Normalize, group_norm};
use vae_fidelity_kernels::tensor::NhwcTensor;
use vae_fidelity_kernels::{clips, direct, grouped, shuffles};

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
        kernel: Kernel<String>,
        stride: usize,
        padding: usize,
        _: &str,
    ) -> Result<Lazy> {
        self.convolve(self.ready(xs)?, kernel, stride, padding)
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

    fn linear(&self, xs: &Lazy, layer: Kernel<String>, _: &str) -> Result<Lazy> {
        let xs = self.ready(xs)?;
        let weight = self.weights(layer.weight)?;
        let bias = match layer.bias {
            Some(bias) => self.weights(bias)?,
            None => Cow::Owned(vec![0.0; weight.len() / xs.images[0].channels]),
        };
        let linear = |(number, image): (usize, &Arc<NhwcTensor>)| {
            let params = direct::Conv2dParams {
                weight: &weight,
                bias: &bias,
                inputs: image.channels,
                outputs: bias.len(),
                kernel: (1, 1),
                stride: 1,
                padding: (0, 0),
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

    fn elementwise(&self, xs: Lazy, function: Elementwise, _: &str) -> Result<Lazy> {
        let xs = self.materialize(self.owned(xs)?);
        let memory = &self.workspace.activations;
        let round = |x| self.dtype.round(x);
        let images = xs.into_images(memory).map(|mut image| {
            let (channels, pitch, row) = (image.channels, image.pitch, image.width * image.pitch);
            self.threads.for_each_part(image.values_mut(), row, |_, values| {
                for pixel in values.chunks_exact_mut(pitch) {
                    // What is behind them fills up a vector, and stays 0.
                    pixel[..channels].iter_mut().for_each(|x| *x = function.apply(*x, round));
                }
                memory.keep_within_limit();
            });
            image
        });
        Ok(Pending::new(images.collect()).into())
    }

    fn add_to_input(&self, input: Lazy, hidden: Lazy, _: First, _: &str) -> Result<Lazy> {
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
        self.attend([query, key, value])
    }

    fn to_image(&self, tokens: &Lazy, _: &Lazy, _: &str) -> Result<Lazy> {
        Ok(Pending { layout: Layout::Image, ..self.ready(tokens)? }.into())
    }

    /// Of a kernel over time one slice meets the frame, and the others zeros.
    fn causal_conv3d(
        &self,
        xs: &Lazy,
        kernel: Kernel<String>,
        padding: usize,
        at: &str,
    ) -> Result<Lazy> {
        self.conv2d(xs, kernel, 1, padding, at)
    }

    fn to_clip(&self, images: Lazy) -> Result<Lazy> {
        Ok(images)
    }

    fn to_images(&self, clip: Lazy) -> Result<Lazy> {
        Ok(clip)
    }

    fn frames(&self, clip: &Lazy, first: usize, count: usize) -> Result<Lazy> {
        let images = self.images_of(clip)?.drain(first..first + count).collect();
        Ok(Pending::shared(images).into())
    }

    fn joined(&self, parts: Vec<Lazy>) -> Result<Lazy> {
        let images = parts.into_iter().map(|part| Ok(self.materialize(self.owned(part)?).images));
        let images = images.collect::<Result<Vec<_>>>()?;
        Ok(Pending::shared(images.into_iter().flatten().collect()).into())
    }

    fn last_frames(&self, before: Option<&Lazy>, xs: &Lazy) -> Result<Lazy> {
        let (mut images, _) = self.after(before, xs)?;
        Ok(Pending::shared(images.split_off(images.len().saturating_sub(2))).into())
    }

    fn conv_over_frames(
        &self,
        xs: &Lazy,
        before: Option<&Lazy>,
        kernel: Kernel<String>,
        padding: usize,
        _: &str,
    ) -> Result<Lazy> {
        let (images, first) = self.after(before, xs)?;
        let last: Vec<usize> = (first..images.len()).collect();
        let made = self.over_frames(&images, &last, kernel, padding)?;
        Ok(self.output(Pending::new(made)).into())
    }

    fn time_conv(
        &self,
        xs: &Lazy,
        before: Option<&Lazy>,
        kernel: Kernel<String>,
        sampling: Sampling,
        _: &str,
    ) -> Result<Lazy> {
        Ok(self.sampled_over_time(xs, before, kernel, sampling)?.into())
    }

    fn rms_norm(&self, xs: &Lazy, gamma: &String, _: &str) -> Result<Lazy> {
        let gamma = self.weights(gamma)?;
        self.each_image(xs, |image, memory| clips::rms_norm(self.threads, image, &gamma, memory))
    }

    fn qkv_attention(&self, qkv: Lazy, at: &str) -> Result<Lazy> {
        let third = |part: usize| {
            self.each_image(&qkv, |image, memory| {
                let channels = image.channels / 3;
                clips::channels_of(self.threads, image, (part * channels, channels), memory)
            })
        };
        let parts = [third(0)?, third(1)?, third(2)?];
        drop(qkv);
        self.attention_of_images(parts, at)
    }

    fn attention_of_images(&self, [query, key, value]: [Lazy; 3], at: &str) -> Result<Lazy> {
        let attended = self.scaled_dot_product_attention(query, key, value, at)?;
        Ok(Pending { layout: Layout::Image, ..self.owned(attended)? }.into())
    }

    fn avg_down(&self, xs: &Lazy, shape: AvgDown3D, first: bool, _: &str) -> Result<Lazy> {
        let images = self.images_of(xs)?;
        let blocks = images.chunks(if first { 1 } else { shape.factor_t }).map(|block| {
            let frames: Vec<&NhwcTensor> = block.iter().map(|frame| &**frame).collect();
            clips::avg_down(self.threads, &frames, shape, &self.workspace.activations)
        });
        Ok(self.output(Pending::new(blocks.collect())).into())
    }

    fn dup_up(&self, xs: &Lazy, shape: DupUp3D, first: bool, _: &str) -> Result<Lazy> {
        let images = self.images_of(xs)?;
        let kept = if first { shape.factor_t - 1 } else { 0 }..shape.factor_t;
        let frames = images.iter().flat_map(|image| {
            let memory = &self.workspace.activations;
            let frame = |frame| clips::dup_up(self.threads, image, shape, frame, memory);
            kept.clone().map(frame)
        });
        Ok(self.output(Pending::new(frames.collect())).into())
    }

    fn patchify(&self, xs: &Lazy, patch: usize, _: &str) -> Result<Lazy> {
        self.each_image(xs, |image, memory| clips::patchify(self.threads, image, patch, memory))
    }

    fn unpatchify(&self, xs: &Lazy, patch: usize, _: &str) -> Result<Lazy> {
        self.each_image(xs, |image, memory| clips::unpatchify(self.threads, image, patch, memory))
    }

    fn grouped_conv2d(
        &self,
        xs: &Lazy,
        kernel: Kernel<String>,
        shape: Groups,
        _: &str,
    ) -> Result<Lazy> {
        let weight = self.weights(kernel.weight)?;
        let bias = kernel.bias.map(|bias| self.weights(bias)).transpose()?;
        let params = grouped::GroupedConv2dParams {
            weight: &weight,
            bias: bias.as_deref(),
            groups: shape.groups,
            side: shape.side,
        };
        self.each_image(xs, |image, memory| grouped::convolve(self.threads, params, image, memory))
    }

    fn rms_norm_of_pixels(
        &self,
        xs: &Lazy,
        layer: Layer<String>,
        eps: f64,
        _: &str,
    ) -> Result<Lazy> {
        let (weight, bias) = (self.weights(layer.weight)?, self.weights(layer.bias)?);
        let normed = self.each_image(xs, |image, memory| {
            shuffles::rms_norm(self.threads, image, (&weight, &bias), eps, memory)
        })?;
        Ok(Pending { layout: Layout::Pixels, ..self.owned(normed)? }.into())
    }

    /// Applied by the layer that reads it.
    fn batch_norm(&self, xs: &Lazy, norm: BatchNorm<String>, _: &str) -> Result<Lazy> {
        let of = |name: &String| self.weights(name);
        let (weight, bias) = (of(norm.layer.weight)?, of(norm.layer.bias)?);
        let (mean, variance) = (of(norm.running_mean)?, of(norm.running_var)?);
        let mut xs = self.materialize(self.ready(xs)?);
        let normalize =
            Normalize::by_statistics(&xs.images[0], (&weight, &bias), (&mean, &variance), norm.eps);
        xs.normalize = Some(Arc::new(vec![normalize; xs.images.len()]));
        Ok(self.output(xs).into())
    }

    fn shuffled(&self, xs: &Lazy, shuffle: Shuffle, _: &str) -> Result<Lazy> {
        let threads = self.threads;
        match shuffle {
            Shuffle::ChannelsLast => {
                Ok(Pending { layout: Layout::Pixels, ..self.ready(xs)? }.into())
            }
            Shuffle::ChannelsFirst => {
                Ok(Pending { layout: Layout::Image, ..self.ready(xs)? }.into())
            }
            Shuffle::SpaceToChannels => self
                .each_image(xs, |image, memory| shuffles::pixel_unshuffle(threads, image, memory)),
            Shuffle::ChannelsToSpace => {
                self.each_image(xs, |image, memory| shuffles::pixel_shuffle(threads, image, memory))
            }
            Shuffle::GroupMeans(count) => self.each_image(xs, |image, memory| {
                shuffles::group_means(threads, image, count, memory)
            }),
            Shuffle::Repeat(times) => {
                self.each_image(xs, |image, memory| shuffles::repeat(threads, image, times, memory))
            }
            Shuffle::Gate => {
                self.each_image(xs, |image, memory| shuffles::gate_by_silu(threads, image, memory))
            }
            Shuffle::SquaresToChannels => self.each_image(xs, |image, memory| {
                shuffles::squares_to_channels(threads, image, memory)
            }),
            Shuffle::ChannelsToSquares => self.each_image(xs, |image, memory| {
                shuffles::channels_to_squares(threads, image, memory)
            }),
        }
    }

    fn stacked(&self, parts: [Lazy; 3], _: &str) -> Result<Lazy> {
        self.stack(parts)
    }

    fn multiscale_attention(&self, scales: Vec<Lazy>, head_dim: usize, _: &str) -> Result<Lazy> {
        self.attend_at_scales(scales, head_dim)
    }

    fn beyond(&self, class: &str, xs: &Lazy, limit: f32) -> Result<Option<Beyond>> {
        Ok(self.largest_beyond(class, xs, limit))
    }

    fn values(&self, xs: &Lazy) -> Result<(Vec<usize>, Vec<f32>)> {
        let xs = self.materialize(self.ready(xs)?);
        let first = &xs.images[0];
        let (n, c, h, w) = (xs.images.len(), first.channels, first.height, first.width);
        let mut values = vec![0.0; n * c * h * w];
        for (image, out) in xs.images.iter().zip(values.chunks_exact_mut(c * h * w)) {
            match xs.layout {
                Layout::Image | Layout::Flat => image.write_chw(&self.workspace.activations, out),
                Layout::Tokens | Layout::Pixels => image.write_hwc(out),
            }
        }
        let shape = match xs.layout {
            Layout::Image => vec![n, c, h, w],
            Layout::Flat => vec![n, c, h * w],
            Layout::Tokens => vec![n, h * w, c],
            Layout::Pixels => vec![n, h, w, c],
        };
        Ok((shape, values))
    }
}

//! The convolutions of the fast engine, over images and over the frames of clips.

use std::borrow::Cow;
use std::sync::{Arc, PoisonError};

use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::graph::Sampling;
use vae_fidelity_files::error::Result;

use super::engine::Kernel;
use super::fast::{Fast, values};
use super::pending::{DeferredConv2d, Lazy, Pending};
use vae_fidelity_kernels::clips::channels_of;
use vae_fidelity_kernels::direct;
use vae_fidelity_kernels::norm::add;
use vae_fidelity_kernels::tensor::NhwcTensor;
use vae_fidelity_kernels::threads::Instructions;
use vae_fidelity_kernels::winograd::{self, KeptWeights};

/// With fewer input channels, Winograd's products are too small to be worthwhile.
const WINOGRAD_INPUTS: usize = 16;

/// Values of a kernel of 3x3, of each input and output.
const WINOGRAD_KERNEL: usize = 9;

/// Frames that a kernel over time looks at, the last of them the output's own.
const FRAMES: usize = 3;

/// Weights of a convolution of images, as they are used.
struct Weights<'a> {
    weight: &'a [f32],
    bias: &'a [f32],
    /// Where they stay: the tensor's name, and which slice of it they are, counted from the last.
    kept: (&'a str, usize),
}

impl Fast {
    /// `torch.nn.functional.conv2d`, put off where a sum may follow.
    pub fn convolve(
        &self,
        xs: Pending,
        kernel: Kernel<String>,
        stride: usize,
        padding: usize,
    ) -> Result<Lazy> {
        let inputs = xs.images[0].channels;
        if self.is_winograd(inputs, stride, padding) {
            let (weight, bias) = (kernel.weight.clone(), kernel.bias.cloned());
            let deferred = DeferredConv2d { input: xs, weight, bias };
            return Ok(match self.dtype {
                Dtype::F32 => Lazy::deferred(deferred),
                // A sum adds rounded values.
                _ => self.output(self.winograd(deferred, None)?).into(),
            });
        }
        let weight = self.kernel(kernel.weight)?;
        let bias = kernel.bias.map(|bias| self.weights(bias)).transpose()?;
        // Weights are (out, in, side, side); one without a bias is padded by half its side.
        let outputs = match &bias {
            Some(bias) => bias.len(),
            None => weight.len() / (inputs * (2 * padding + 1).pow(2)),
        };
        let bias = bias.unwrap_or_else(|| Cow::Owned(vec![0.0; outputs]));
        let images = self.direct(xs, (&weight, &bias), stride, padding);
        self.checkpoint.forget(kernel.weight);
        Ok(self.output(Pending::new(images)).into())
    }

    /// Padding keeps the size, so that a padding of one belongs to a kernel of 3x3.
    fn is_winograd(&self, inputs: usize, stride: usize, padding: usize) -> bool {
        let plain = self.threads.instructions == Instructions::Plain;
        (stride, padding) == (1, 1) && inputs >= WINOGRAD_INPUTS && !plain
    }

    fn direct(
        &self,
        xs: Pending,
        (weight, bias): (&[f32], &[f32]),
        stride: usize,
        padding: usize,
    ) -> Vec<NhwcTensor> {
        let (inputs, outputs) = (xs.images[0].channels, bias.len());
        let side = (weight.len() / (inputs * outputs)).isqrt();
        let xs = if xs.upsample { self.materialize(xs) } else { xs };
        let convolve = |(number, image): (usize, &Arc<NhwcTensor>)| {
            let params = direct::Conv2dParams {
                weight,
                bias,
                inputs,
                outputs,
                kernel: (side, side),
                stride,
                padding: (padding, padding),
                normalize: xs.normalize_of(number),
            };
            let size =
                |length: usize| (length + 2 * padding + usize::from(xs.padded) - side) / stride + 1;
            let size = (size(image.height), size(image.width));
            direct::convolve(self.threads, params, image, size, &self.workspace)
        };
        xs.images.iter().enumerate().map(convolve).collect()
    }

    /// Runs a convolution, and adds its output to `onto` if there is one.
    pub fn winograd(&self, deferred: DeferredConv2d, onto: Option<Pending>) -> Result<Pending> {
        let DeferredConv2d { input, weight: name, bias } = deferred;
        let weight = self.kernel(&name)?;
        let outputs = weight.len() / (WINOGRAD_KERNEL * input.images[0].channels);
        let bias = match &bias {
            Some(bias) => self.weights(bias)?,
            None => Cow::Owned(vec![0.0; outputs]),
        };
        let weights = Weights { weight: &weight, bias: &bias, kept: (&name, 0) };
        let onto = onto
            .map(|onto| self.materialize(onto).into_images(&self.workspace.activations).collect());
        let images = self.winograd_by(&weights, input, onto);
        // The mapped pages of the weights are not needed again in this run.
        self.checkpoint.forget(&name);
        Ok(Pending::new(images))
    }

    /// The same by weights that have been read; `onto` is empty, or as many images as `input` is.
    fn winograd_by(
        &self,
        weights: &Weights,
        input: Pending,
        onto: Option<Vec<NhwcTensor>>,
    ) -> Vec<NhwcTensor> {
        let input = if input.padded { self.materialize(input) } else { input };
        let mut onto = onto.map(Vec::into_iter);
        let kept: Option<Arc<KeptWeights>> = self.kept.as_ref().map(|kept| {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            let (name, slice) = weights.kept;
            Arc::clone(kept.entry((name.to_owned(), slice)).or_default())
        });
        let convolve = |(number, image): (usize, &Arc<NhwcTensor>)| {
            let params = winograd::Conv2dParams {
                weight: weights.weight,
                bias: weights.bias,
                inputs: image.channels,
                outputs: weights.bias.len(),
                normalize: input.normalize_of(number),
                upsample: input.upsample,
            };
            let onto = onto.as_mut().and_then(Iterator::next);
            let (threads, workspace) = (self.threads, &self.workspace);
            winograd::convolve_again(threads, params, image, onto, workspace, kept.as_deref())
        };
        input.images.iter().enumerate().map(convolve).collect()
    }

    /// The weight of a convolution over space; of one over time too, the slice that the last frame meets.
    fn kernel(&self, name: &str) -> Result<Cow<'_, [f32]>> {
        // Read once: a recipe draws its values anew each time.
        let stored = self.checkpoint.tensor(name)?;
        let shape = stored.shape.clone();
        let all = values(stored);
        Ok(match shape[..] {
            [_, _, frames, height, width] if frames > 1 => {
                Cow::Owned(slice_of(&all, (frames, height * width), 0))
            }
            _ => all,
        })
    }

    /// The frames that convolutions look at, and which of them is the first of `xs`.
    pub fn after(&self, before: Option<&Lazy>, xs: &Lazy) -> Result<(Vec<Arc<NhwcTensor>>, usize)> {
        let mut images = match before {
            Some(before) => self.images_of(before)?,
            None => Vec::new(),
        };
        let first = images.len();
        images.extend(self.images_of(xs)?);
        Ok((images, first))
    }

    /// A convolution over `frames`: for each output, which of them is the last that it looks at. Before the
    /// first there are zeros.
    pub fn over_frames(
        &self,
        frames: &[Arc<NhwcTensor>],
        last: &[usize],
        kernel: Kernel<String>,
        padding: usize,
    ) -> Result<Vec<NhwcTensor>> {
        let all = self.weights(kernel.weight)?;
        let bias = match kernel.bias {
            Some(bias) => self.weights(bias)?,
            None => Cow::Owned(Vec::new()),
        };
        let inputs = frames[0].channels;
        let area = all.len() / (inputs * bias.len() * FRAMES);
        let zeros = vec![0.0; bias.len()];
        let mut sums: Vec<NhwcTensor> = Vec::new();
        for back in 0..FRAMES {
            let from = last.iter().position(|&last| last >= back).unwrap_or(last.len());
            if from == last.len() {
                continue;
            }
            let looked_at = last[from..].iter().map(|&last| Arc::clone(&frames[last - back]));
            let input = Pending::shared(looked_at.collect());
            let weight = slice_of(&all, (FRAMES, area), back);
            let bias = if back == 0 { &*bias } else { &zeros };
            let weights = Weights { weight: &weight, bias, kept: (kernel.weight, back) };
            let onto = (back > 0).then(|| sums.split_off(from));
            sums.extend(match self.is_winograd(inputs, 1, padding) {
                true => self.winograd_by(&weights, input, onto),
                false => {
                    let made = self.direct(input, (&weight, bias), 1, padding);
                    match onto {
                        None => made,
                        Some(onto) => self.added(onto, &made),
                    }
                }
            });
        }
        self.checkpoint.forget(kernel.weight);
        Ok(sums)
    }

    fn added(&self, onto: Vec<NhwcTensor>, made: &[NhwcTensor]) -> Vec<NhwcTensor> {
        let sum = |(mut sum, made): (NhwcTensor, &NhwcTensor)| {
            add(self.threads, &mut sum, made);
            sum
        };
        onto.into_iter().zip(made).map(sum).collect()
    }

    /// `time_conv` of `WanResample`.
    pub fn sampled_over_time(
        &self,
        xs: &Lazy,
        before: Option<&Lazy>,
        kernel: Kernel<String>,
        sampling: Sampling,
    ) -> Result<Pending> {
        let (mut frames, first) = self.after(before, xs)?;
        match sampling {
            Sampling::Down => {
                // It looks back at one frame.
                frames.drain(..first.saturating_sub(1));
                let last: Vec<usize> = (FRAMES - 1..frames.len()).step_by(2).collect();
                Ok(self.output(Pending::new(self.over_frames(&frames, &last, kernel, 0)?)))
            }
            Sampling::Up => {
                let last: Vec<usize> = (first..frames.len()).collect();
                let made = self.output(Pending::new(self.over_frames(&frames, &last, kernel, 0)?));
                let halves = made.images.iter().flat_map(|image| {
                    let (half, memory) = (image.channels / 2, &self.workspace.activations);
                    [0, half].map(|first| channels_of(self.threads, image, (first, half), memory))
                });
                Ok(Pending::new(halves.collect()))
            }
        }
    }
}

/// Of weights over `frames` of `area` values each, those of one frame, counted from the last.
fn slice_of(weights: &[f32], (frames, area): (usize, usize), back: usize) -> Vec<f32> {
    let from = (frames - 1 - back) * area;
    let kernels = weights.chunks_exact(frames * area);
    kernels.flat_map(|kernel| &kernel[from..from + area]).copied().collect()
}

//! diffusers' `AutoencoderKLWan`, `AutoencoderKLQwenImage` and `AutoencoderKLQwenImage21`
//! (`models/autoencoders/autoencoder_kl_wan.py`, `autoencoder_kl_qwenimage.py`, `autoencoder_kl_qwenimage21.py`)
//! for one picture, which is a clip of one frame, before which there is nothing, and for clips.
//!
//! Of a picture `time_conv`, which halves and doubles the number of frames, is never given anything.

use super::clips::{AvgDown3D, CausalConv3d, DupUp3D, RmsNorm, Sampling, TimeConv};
use super::module::{
    Body, Conv2d, Elementwise, Function, Module, Order, QkvAttention, Residual, Step,
};
use super::parameter::Parameter;
use super::wan_names::Names;
use super::{Graph, TensorSpec};
use crate::config::{Activation, AutoencoderKLWanConfig};

/// Frames that a `CausalConv3d` looks at, itself among them, but for those of 1x1.
const FRAMES: usize = 3;

pub(super) fn graph(config: &AutoencoderKLWanConfig, names: Names) -> Graph {
    let mut build = Build { names, idle: Vec::new() };
    let encoder = build.encoder(config);
    let decoder = build.decoder(config);
    let latent = config.z_dim;
    let patched = |function: fn(usize) -> Function| {
        Some(config.patch()).filter(|patch| *patch > 1).map(function)
    };
    let clamp = Function::Elementwise(Elementwise::Clamp);
    Graph {
        encoder,
        decoder,
        quant_conv: Some(build.conv("quant_conv".to_owned(), 2 * latent, 2 * latent, 1)),
        post_quant_conv: Some(build.conv("post_quant_conv".to_owned(), latent, latent, 1)),
        buffers: Vec::new(),
        idle: build.idle,
        before_encoder: patched(Function::Patchify).into_iter().collect(),
        after_decoder: patched(Function::Unpatchify).into_iter().chain([clamp]).collect(),
    }
}

/// Builds modules under the names of one of the two files, and gathers the tensors of `time_conv`.
struct Build {
    names: Names,
    idle: Vec<TensorSpec>,
}

impl Build {
    /// `Encoder3d`: patches (N, C, H, W) to moments (N, 2C, H / f, W / f).
    fn encoder(&mut self, config: &AutoencoderKLWanConfig) -> Module {
        let (widths, names) = (config.widths(), self.names);
        let last = widths.len() - 1;
        let conv_in =
            self.conv("encoder.conv_in".to_owned(), config.in_channels, config.base_dim, 3);
        let mut steps = vec![Step::Module(conv_in)];
        let mut before = config.base_dim;
        // Without shortcuts, blocks and samplers of all levels are one list.
        let mut number = 0;
        for (level, &width) in widths.iter().enumerate() {
            let frames = config.halves_frames(level);
            if config.is_residual {
                let name = format!("encoder.down_blocks.{level}");
                let block =
                    self.residual_down(name, config, (before, width), level == last, frames);
                steps.push(Step::Module(block));
                before = width;
                continue;
            }
            let mut next = || {
                number += 1;
                format!("encoder.down_blocks.{}", number - 1)
            };
            for _ in 0..config.num_res_blocks {
                steps.push(Step::Module(self.residual_block(next(), before, width)));
                before = width;
            }
            if level < last {
                let sampler = self.resample(next(), Sampling::Down, width, width, frames);
                steps.push(Step::Module(sampler));
            }
        }
        steps.push(Step::Module(self.mid_block("encoder.mid_block", before)));
        steps.extend(self.out("encoder", before, 2 * config.z_dim));
        Module { name: "encoder".to_owned(), class: names.encoder, body: Body::Sequence(steps) }
    }

    /// `Decoder3d`: latents (N, C, h, w) to patches (N, C, h * f, w * f).
    fn decoder(&mut self, config: &AutoencoderKLWanConfig) -> Module {
        let (widths, names) = (config.decoder_widths(), self.names);
        let last = widths.len() - 1;
        let deepest = widths[last];
        let conv_in = self.conv("decoder.conv_in".to_owned(), config.z_dim, deepest, 3);
        let mid_block = self.mid_block("decoder.mid_block", deepest);
        let mut steps = vec![Step::Module(conv_in), Step::Module(mid_block)];
        let mut before = deepest;
        for (level, &width) in widths.iter().rev().enumerate() {
            let name = format!("decoder.up_blocks.{level}");
            let is_last = level == last;
            // The encoder's levels the other way round.
            let frames = !is_last && config.halves_frames(last - 1 - level);
            let resnets = self.residual_blocks(&name, (before, width), config.num_res_blocks + 1);
            let block = match (config.is_residual, is_last) {
                (true, is_last) => {
                    self.residual_up(name, resnets, (before, width), is_last, frames)
                }
                (false, is_last) => self.up_block(name, resnets, width, is_last, frames),
            };
            steps.push(Step::Module(block));
            // A sampler without a shortcut around it halves the channels too.
            before = if config.is_residual || is_last { width } else { width / 2 };
        }
        steps.extend(self.out("decoder", widths[0], config.out_channels));
        Module { name: "decoder".to_owned(), class: names.decoder, body: Body::Sequence(steps) }
    }

    /// `WanResidualDownBlock`, of Wan 2.2 and Qwen-Image 2.1.
    fn residual_down(
        &mut self,
        name: String,
        config: &AutoencoderKLWanConfig,
        (inputs, outputs): (usize, usize),
        is_last: bool,
        frames: bool,
    ) -> Module {
        let mut hidden = self.residual_blocks(&name, (inputs, outputs), config.num_res_blocks);
        if !is_last {
            let name = format!("{name}.downsampler");
            let sampler = self.resample(name, Sampling::Down, outputs, outputs, frames);
            hidden.push(Step::Module(sampler));
        }
        let shortcut = AvgDown3D {
            in_channels: inputs,
            out_channels: outputs,
            factor_t: if frames { 2 } else { 1 },
            factor_s: if is_last { 1 } else { 2 },
        };
        let shortcut = Module {
            name: format!("{name}.avg_shortcut"),
            class: self.names.avg_down,
            body: Body::AvgDown3D(shortcut),
        };
        let body = Body::Residual(Residual {
            hidden,
            shortcut: Some(Box::new(shortcut)),
            shortcut_functions: Vec::new(),
            order: Order::HiddenPlusShortcut,
        });
        Module { name, class: self.names.residual_down, body }
    }

    /// `WanResidualUpBlock`, of the same; the last one has neither sampler nor shortcut.
    fn residual_up(
        &mut self,
        name: String,
        mut hidden: Vec<Step>,
        (inputs, outputs): (usize, usize),
        is_last: bool,
        frames: bool,
    ) -> Module {
        let class = self.names.residual_up;
        if is_last {
            return Module { name, class, body: Body::Sequence(hidden) };
        }
        let sampler =
            self.resample(format!("{name}.upsampler"), Sampling::Up, outputs, outputs, frames);
        hidden.push(Step::Module(sampler));
        let shortcut = DupUp3D {
            in_channels: inputs,
            out_channels: outputs,
            factor_t: if frames { 2 } else { 1 },
            factor_s: 2,
        };
        let shortcut = Module {
            name: format!("{name}.avg_shortcut"),
            class: self.names.dup_up,
            body: Body::DupUp3D(shortcut),
        };
        let body = Body::Residual(Residual {
            hidden,
            shortcut: Some(Box::new(shortcut)),
            shortcut_functions: Vec::new(),
            order: Order::HiddenPlusShortcut,
        });
        Module { name, class, body }
    }

    /// `UpBlock`.
    fn up_block(
        &mut self,
        name: String,
        mut steps: Vec<Step>,
        width: usize,
        is_last: bool,
        frames: bool,
    ) -> Module {
        if !is_last {
            let name = format!("{name}.upsamplers.0");
            let sampler = self.resample(name, Sampling::Up, width, width / 2, frames);
            steps.push(Step::Module(sampler));
        }
        Module { name, class: self.names.up, body: Body::Sequence(steps) }
    }

    /// `Resample`: half or twice the size.
    fn resample(
        &mut self,
        name: String,
        sampling: Sampling,
        inputs: usize,
        outputs: usize,
        frames: bool,
    ) -> Module {
        let time_conv = frames.then(|| self.time_conv(&name, sampling, inputs)).flatten();
        let (first, stride, padding) = match sampling {
            Sampling::Down => (Function::PadRightAndBottom, 2, 0),
            Sampling::Up => (Function::UpsampleNearest2x, 1, 1),
        };
        let conv = conv2d(format!("{name}.resample.1"), (inputs, outputs), 3, (stride, padding));
        let resample = Module {
            name: format!("{name}.resample"),
            class: "Sequential",
            body: Body::Sequence(vec![Step::Function(first), Step::Module(conv)]),
        };
        let mut steps = vec![Step::Module(resample)];
        if let Some(time_conv) = time_conv {
            let at = if sampling == Sampling::Up { 0 } else { steps.len() };
            steps.insert(at, Step::TimeConv(time_conv));
        }
        Module { name, class: self.names.resample, body: Body::Sequence(steps) }
    }

    /// The sampler's convolution over frames, where its kernels are over frames; its tensors meet no picture.
    fn time_conv(&mut self, of: &str, sampling: Sampling, inputs: usize) -> Option<TimeConv> {
        // Two frames for each one on the way up.
        let made = if sampling == Sampling::Up { 2 * inputs } else { inputs };
        let mut shape = vec![made, inputs, FRAMES, 1, 1];
        if !self.names.over_time {
            shape.remove(2);
        }
        let name = format!("{of}.time_conv");
        for (leaf, shape) in [("weight", shape.clone()), ("bias", vec![made])] {
            self.idle.push(TensorSpec { name: format!("{name}.{leaf}"), shape });
        }
        let (weight, bias) = (Parameter::new(shape), Parameter::new([made]));
        self.names.over_time.then_some(TimeConv { name, weight, bias, sampling })
    }

    /// `MidBlock`: block, attention, block.
    fn mid_block(&self, name: &str, channels: usize) -> Module {
        let mut steps = self.residual_blocks(name, (channels, channels), 2);
        let attention = self.attention(format!("{name}.attentions.0"), channels);
        steps.insert(1, Step::Module(attention));
        Module { name: name.to_owned(), class: self.names.mid, body: Body::Sequence(steps) }
    }

    /// `AttentionBlock`.
    fn attention(&self, name: String, channels: usize) -> Module {
        let one_by_one =
            |part: &str, outputs| conv2d(format!("{name}.{part}"), (channels, outputs), 1, (1, 0));
        let attention = QkvAttention {
            norm: self.norm(format!("{name}.norm"), channels, 2),
            to_qkv: one_by_one("to_qkv", 3 * channels),
            proj: one_by_one("proj", channels),
        };
        Module { name, class: self.names.attention, body: Body::QkvAttention(Box::new(attention)) }
    }

    fn residual_blocks(
        &self,
        block: &str,
        (before, width): (usize, usize),
        count: usize,
    ) -> Vec<Step> {
        let block = |number| {
            let inputs = if number == 0 { before } else { width };
            Step::Module(self.residual_block(format!("{block}.resnets.{number}"), inputs, width))
        };
        (0..count).map(block).collect()
    }

    /// `ResidualBlock`; its activation is SiLU, which no config changes.
    fn residual_block(&self, name: String, inputs: usize, outputs: usize) -> Module {
        let hidden = vec![
            Step::Module(self.norm(format!("{name}.norm1"), inputs, 3)),
            Step::Function(Function::Activation(Activation::Silu)),
            Step::Module(self.conv(format!("{name}.conv1"), inputs, outputs, 3)),
            Step::Module(self.norm(format!("{name}.norm2"), outputs, 3)),
            Step::Function(Function::Activation(Activation::Silu)),
            Step::Module(self.conv(format!("{name}.conv2"), outputs, outputs, 3)),
        ];
        let shortcut = (inputs != outputs)
            .then(|| Box::new(self.conv(format!("{name}.conv_shortcut"), inputs, outputs, 1)));
        let body = Body::Residual(Residual {
            hidden,
            shortcut,
            shortcut_functions: Vec::new(),
            order: Order::ShortcutFirst,
        });
        Module { name, class: self.names.residual, body }
    }

    /// What both halves end in.
    fn out(&self, half: &str, channels: usize, outputs: usize) -> [Step; 3] {
        [
            Step::Module(self.norm(format!("{half}.norm_out"), channels, 3)),
            Step::Function(Function::Activation(Activation::Silu)),
            Step::Module(self.conv(format!("{half}.conv_out"), channels, outputs, 3)),
        ]
    }

    /// `RMS_norm` without a bias, of images in `dimensions` 2 and of clips in 3.
    fn norm(&self, name: String, channels: usize, dimensions: usize) -> Module {
        let mut shape = vec![channels];
        shape.resize(1 + dimensions, 1);
        let body = Body::RmsNorm(RmsNorm { gamma: Parameter::new(shape) });
        Module { name, class: self.names.norm, body }
    }

    /// `CausalConv3d` with padding that keeps the size: 1x1x1, or as large in time as in space; in Qwen-Image
    /// 2.1 over space alone.
    fn conv(&self, name: String, inputs: usize, outputs: usize, kernel: usize) -> Module {
        let mut weight = vec![outputs, inputs];
        weight.resize(if self.names.over_time { 5 } else { 4 }, kernel);
        let conv = CausalConv3d {
            weight: Parameter::new(weight),
            bias: Parameter::new([outputs]),
            padding: kernel / 2,
        };
        Module { name, class: self.names.conv, body: Body::CausalConv3d(conv) }
    }
}

fn conv2d(
    name: String,
    (inputs, outputs): (usize, usize),
    kernel: usize,
    (stride, padding): (usize, usize),
) -> Module {
    let conv = Conv2d {
        weight: Parameter::new([outputs, inputs, kernel, kernel]),
        bias: Some(Parameter::new([outputs])),
        stride,
        padding,
    };
    Module { name, class: "Conv2d", body: Body::Conv2d(conv) }
}

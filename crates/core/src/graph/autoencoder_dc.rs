//! diffusers' `AutoencoderDC` (`models/autoencoders/autoencoder_dc.py`, `models/attention_processor.py`,
//! `models/transformers/sana_transformer.py`).

use super::Graph;
use super::module::{
    Body, Conv2d, Function, Linear, Module, MultiscaleAttention, Order, Residual, Step,
};
use super::parameter::Parameter;
use super::shuffles::{BatchNorm2d, GroupedConv2d, RmsNormOfPixels};
use crate::config::{Activation, AutoencoderDCConfig, BATCH_NORM, EFFICIENT_VIT_BLOCK};

/// Of every norm.
const EPS: f64 = 1e-5;
/// How much wider the hidden channels of `GLUMBConv` are.
const EXPAND_RATIO: usize = 4;

pub(super) fn graph(config: &AutoencoderDCConfig) -> Graph {
    Graph {
        encoder: encoder(config),
        decoder: decoder(config),
        quant_conv: None,
        post_quant_conv: None,
        buffers: Vec::new(),
        idle: Vec::new(),
        before_encoder: Vec::new(),
        after_decoder: Vec::new(),
    }
}

/// `Encoder`: sample (N, 3, H, W) to latents (N, C, H / f, W / f).
fn encoder(config: &AutoencoderDCConfig) -> Module {
    let widths = &config.encoder_block_out_channels;
    let layers = &config.encoder_layers_per_block;
    let unshuffles = config.unshuffles();
    let name = "encoder.conv_in".to_owned();
    let conv_in = match layers[0] {
        0 => down_block(name, (config.in_channels, widths[1]), unshuffles, false),
        _ => conv2d(name, (config.in_channels, widths[0]), 1, true),
    };
    let mut steps = vec![Step::Module(conv_in)];
    for (level, (&width, &count)) in widths.iter().zip(layers).enumerate() {
        let name = format!("encoder.down_blocks.{level}");
        let shape = Blocks {
            kind: &config.encoder_block_types[level],
            width,
            head_dim: config.attention_head_dim,
            scales: &config.encoder_qkv_multiscales[level],
            activation: Activation::Silu,
            batch_norm: false,
        };
        let mut blocks: Vec<Step> =
            (0..count).map(|number| shape.block(format!("{name}.{number}"))).collect();
        if let (Some(&next), true) = (widths.get(level + 1), count > 0) {
            let name = format!("{name}.{count}");
            blocks.push(Step::Module(down_block(name, (width, next), unshuffles, true)));
        }
        steps.push(Step::Module(sequential(name, blocks)));
    }
    let (last, latent) = (widths[widths.len() - 1], config.latent_channels);
    let conv_out = Step::Module(conv2d("encoder.conv_out".to_owned(), (last, latent), 1, true));
    steps.push(match config.encoder_out_shortcut {
        true => around(vec![conv_out], vec![Function::GroupMeans(last / latent)]),
        false => conv_out,
    });
    Module { name: "encoder".to_owned(), class: "Encoder", body: Body::Sequence(steps) }
}

/// `Decoder`: latents (N, C, h, w) to a sample (N, 3, h * f, w * f).
fn decoder(config: &AutoencoderDCConfig) -> Module {
    let widths = &config.decoder_block_out_channels;
    let layers = &config.decoder_layers_per_block;
    let interpolates = config.interpolates();
    let (last, latent) = (widths[widths.len() - 1], config.latent_channels);
    let conv_in = Step::Module(conv2d("decoder.conv_in".to_owned(), (latent, last), 1, true));
    let mut steps = vec![match config.decoder_in_shortcut {
        true => around(vec![conv_in], vec![Function::RepeatChannels(last / latent)]),
        false => conv_in,
    }];
    for (level, (&width, &count)) in widths.iter().zip(layers).enumerate().rev() {
        let name = format!("decoder.up_blocks.{level}");
        let mut blocks = Vec::new();
        if let (Some(&before), true) = (widths.get(level + 1), count > 0) {
            let name = format!("{name}.0");
            blocks.push(Step::Module(up_block(name, (before, width), interpolates, true)));
        }
        let shape = Blocks {
            kind: &config.decoder_block_types[level],
            width,
            head_dim: config.attention_head_dim,
            scales: &config.decoder_qkv_multiscales[level],
            activation: config.decoder_act_fns[level],
            batch_norm: config.decoder_norm_types[level] == BATCH_NORM,
        };
        let first = blocks.len();
        blocks.extend((0..count).map(|number| shape.block(format!("{name}.{}", first + number))));
        steps.push(Step::Module(sequential(name, blocks)));
    }
    let width = if layers[0] > 0 { widths[0] } else { widths[1] };
    steps.extend(norm("decoder.norm_out".to_owned(), width));
    steps.push(Step::Function(Function::Activation(config.decoder_conv_act_fn)));
    let (name, channels) = ("decoder.conv_out".to_owned(), (width, config.in_channels));
    steps.push(Step::Module(match layers[0] {
        0 => up_block(name, channels, interpolates, false),
        _ => conv2d(name, channels, 1, true),
    }));
    Module { name: "decoder".to_owned(), class: "Decoder", body: Body::Sequence(steps) }
}

/// What the blocks of a level have in common.
struct Blocks<'a> {
    kind: &'a str,
    width: usize,
    head_dim: usize,
    scales: &'a [usize],
    activation: Activation,
    /// Whether the norm of residual blocks has statistics of its own.
    batch_norm: bool,
}

impl Blocks<'_> {
    fn block(&self, name: String) -> Step {
        Step::Module(match self.kind == EFFICIENT_VIT_BLOCK {
            true => self.efficient_vit_block(name),
            false => self.res_block(name),
        })
    }

    /// `ResBlock`.
    fn res_block(&self, name: String) -> Module {
        let channels = (self.width, self.width);
        let mut hidden = vec![
            Step::Module(conv2d(format!("{name}.conv1"), channels, 1, true)),
            Step::Function(Function::Activation(self.activation)),
            Step::Module(conv2d(format!("{name}.conv2"), channels, 1, false)),
        ];
        let of_block = format!("{name}.norm");
        match self.batch_norm {
            true => hidden.push(Step::Module(batch_norm(of_block, self.width))),
            false => hidden.extend(norm(of_block, self.width)),
        }
        Module { name, class: "ResBlock", body: Body::Residual(sum(hidden, Vec::new())) }
    }

    /// `EfficientViTBlock`: attention, then `GLUMBConv`.
    fn efficient_vit_block(&self, name: String) -> Module {
        let steps = vec![
            Step::Module(self.attention(format!("{name}.attn"))),
            Step::Module(glumb_conv(format!("{name}.conv_out"), self.width)),
        ];
        Module { name, class: "EfficientViTBlock", body: Body::Sequence(steps) }
    }

    /// `SanaMultiscaleLinearAttention`.
    fn attention(&self, name: String) -> Module {
        let heads = self.width / self.head_dim;
        let inner = heads * self.head_dim;
        let linear = |part: &str, inputs: usize, outputs: usize| {
            let weight = Parameter::new([outputs, inputs]);
            let body = Body::Linear(Linear { weight, bias: None });
            Module { name: format!("{name}.{part}"), class: "Linear", body }
        };
        let multiscale = |(number, &side): (usize, &usize)| {
            let name = format!("{name}.to_qkv_multiscale.{number}");
            let channels = 3 * inner;
            let steps = vec![
                Step::Module(grouped(format!("{name}.proj_in"), channels, side, channels, false)),
                Step::Module(grouped(format!("{name}.proj_out"), channels, 1, 3 * heads, false)),
            ];
            let class = "SanaMultiscaleAttentionProjection";
            Module { name, class, body: Body::Sequence(steps) }
        };
        let attention = MultiscaleAttention {
            to_q: linear("to_q", self.width, inner),
            to_k: linear("to_k", self.width, inner),
            to_v: linear("to_v", self.width, inner),
            to_qkv_multiscale: self.scales.iter().enumerate().map(multiscale).collect(),
            to_out: linear("to_out", inner * (1 + self.scales.len()), self.width),
            norm_out: rms_norm(format!("{name}.norm_out"), self.width),
            head_dim: self.head_dim,
        };
        let body = Body::MultiscaleAttention(Box::new(attention));
        Module { name, class: "SanaMultiscaleLinearAttention", body }
    }
}

/// `GLUMBConv`: wide, depthwise, gated by its own half, and back.
fn glumb_conv(name: String, channels: usize) -> Module {
    let hidden = EXPAND_RATIO * channels;
    let wide = 2 * hidden;
    let one_by_one = |part: &str, (inputs, outputs): (usize, usize), bias: bool| {
        let conv = Conv2d {
            weight: Parameter::new([outputs, inputs, 1, 1]),
            bias: bias.then(|| Parameter::new([outputs])),
            stride: 1,
            padding: 0,
        };
        let name = format!("{name}.{part}");
        Step::Module(Module { name, class: "Conv2d", body: Body::Conv2d(conv) })
    };
    let mut steps = vec![
        one_by_one("conv_inverted", (channels, wide), true),
        Step::Function(Function::Activation(Activation::Silu)),
        Step::Module(grouped(format!("{name}.conv_depth"), wide, 3, wide, true)),
        Step::Function(Function::GateBySilu),
        one_by_one("conv_point", (hidden, channels), false),
    ];
    steps.extend(norm(format!("{name}.norm"), channels));
    Module { name, class: "GLUMBConv", body: Body::Residual(sum(steps, Vec::new())) }
}

/// `DCDownBlock2d`: half the size.
fn down_block(
    name: String,
    (inputs, outputs): (usize, usize),
    unshuffles: bool,
    shortcut: bool,
) -> Module {
    let conv = format!("{name}.conv");
    let hidden = match unshuffles {
        true => vec![
            Step::Module(conv2d(conv, (inputs, outputs / 4), 1, true)),
            Step::Function(Function::PixelUnshuffle2x),
        ],
        false => vec![Step::Module(conv2d(conv, (inputs, outputs), 2, true))],
    };
    let means = vec![Function::PixelUnshuffle2x, Function::GroupMeans(4 * inputs / outputs)];
    let body = match shortcut {
        true => Body::Residual(sum(hidden, means)),
        false => Body::Sequence(hidden),
    };
    Module { name, class: "DCDownBlock2d", body }
}

/// `DCUpBlock2d`: twice the size.
fn up_block(
    name: String,
    (inputs, outputs): (usize, usize),
    interpolates: bool,
    shortcut: bool,
) -> Module {
    let conv = format!("{name}.conv");
    let hidden = match interpolates {
        true => vec![
            Step::Function(Function::UpsampleNearest2x),
            Step::Module(conv2d(conv, (inputs, outputs), 1, true)),
        ],
        false => vec![
            Step::Module(conv2d(conv, (inputs, 4 * outputs), 1, true)),
            Step::Function(Function::PixelShuffle2x),
        ],
    };
    let repeated = vec![Function::RepeatChannels(4 * outputs / inputs), Function::PixelShuffle2x];
    let body = match shortcut {
        true => Body::Residual(sum(hidden, repeated)),
        false => Body::Sequence(hidden),
    };
    Module { name, class: "DCUpBlock2d", body }
}

fn sequential(name: String, steps: Vec<Step>) -> Module {
    Module { name, class: "Sequential", body: Body::Sequence(steps) }
}

fn sum(hidden: Vec<Step>, shortcut_functions: Vec<Function>) -> Residual {
    Residual { hidden, shortcut: None, shortcut_functions, order: Order::HiddenPlusShortcut }
}

fn around(hidden: Vec<Step>, shortcut_functions: Vec<Function>) -> Step {
    Step::Residual(sum(hidden, shortcut_functions))
}

/// `RMSNorm` of an image, whose pixels lie one after another for it alone.
fn norm(name: String, channels: usize) -> [Step; 3] {
    [
        Step::Function(Function::ChannelsLast),
        Step::Module(rms_norm(name, channels)),
        Step::Function(Function::ChannelsFirst),
    ]
}

fn rms_norm(name: String, channels: usize) -> Module {
    let (weight, bias) = (Parameter::new([channels]), Parameter::new([channels]));
    let body = Body::RmsNormOfPixels(RmsNormOfPixels { weight, bias, eps: EPS });
    Module { name, class: "RMSNorm", body }
}

fn batch_norm(name: String, channels: usize) -> Module {
    let vector = || Parameter::new([channels]);
    let norm = BatchNorm2d {
        weight: vector(),
        bias: vector(),
        running_mean: vector(),
        running_var: vector(),
        eps: EPS,
    };
    Module { name, class: "BatchNorm2d", body: Body::BatchNorm2d(norm) }
}

fn grouped(name: String, channels: usize, side: usize, groups: usize, bias: bool) -> Module {
    let conv = GroupedConv2d {
        weight: Parameter::new([channels, channels / groups, side, side]),
        bias: bias.then(|| Parameter::new([channels])),
        groups,
    };
    Module { name, class: "Conv2d", body: Body::GroupedConv2d(conv) }
}

/// Of 3x3, with padding of one.
fn conv2d(name: String, (inputs, outputs): (usize, usize), stride: usize, bias: bool) -> Module {
    let conv = Conv2d {
        weight: Parameter::new([outputs, inputs, 3, 3]),
        bias: bias.then(|| Parameter::new([outputs])),
        stride,
        padding: 1,
    };
    Module { name, class: "Conv2d", body: Body::Conv2d(conv) }
}

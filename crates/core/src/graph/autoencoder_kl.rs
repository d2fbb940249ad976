//! diffusers' `AutoencoderKL` (`models/autoencoders/autoencoder_kl.py`, `vae.py`).

use super::Graph;
use super::module::{
    Attention, Body, Conv2d, Function, GroupNorm, Linear, Module, Order, Residual, Step,
};
use super::parameter::Parameter;
use crate::config::{Activation, AutoencoderKLConfig};

/// Of every `GroupNorm` of the class.
const EPS: f64 = 1e-6;

pub(super) fn graph(config: &AutoencoderKLConfig) -> Graph {
    let half = |widths| Half {
        widths,
        layers_per_block: config.layers_per_block,
        act_fn: config.act_fn,
        norm_num_groups: config.norm_num_groups,
        attention: config.mid_block_add_attention,
    };
    let (latent, half) = (config.latent_channels, half(&config.block_out_channels));
    Graph {
        encoder: encoder(half, config.in_channels, latent),
        decoder: decoder(half, latent, config.out_channels),
        quant_conv: config.use_quant_conv.then(|| one_by_one("quant_conv", 2 * latent)),
        post_quant_conv: config.use_post_quant_conv.then(|| one_by_one("post_quant_conv", latent)),
        buffers: Vec::new(),
        idle: Vec::new(),
        before_encoder: Vec::new(),
        after_decoder: Vec::new(),
    }
}

/// What an `Encoder` or a `Decoder` is made with.
#[derive(Clone, Copy)]
pub(super) struct Half<'a> {
    /// Channels of each level, from the picture inwards.
    pub widths: &'a [usize],
    pub layers_per_block: usize,
    pub act_fn: Activation,
    pub norm_num_groups: usize,
    pub attention: bool,
}

impl Half<'_> {
    fn first(&self) -> usize {
        self.widths[0]
    }

    fn last(&self) -> usize {
        self.widths[self.widths.len() - 1]
    }
}

/// `Encoder`: (N, 3, H, W) to (N, 2C, H / f, W / f).
pub(super) fn encoder(half: Half, in_channels: usize, latent_channels: usize) -> Module {
    let widths = half.widths;
    let conv_in = conv2d("encoder.conv_in".to_owned(), in_channels, half.first(), 3);
    let mut steps = vec![Step::Module(conv_in)];
    let mut before = half.first();
    for (level, &width) in widths.iter().enumerate() {
        let name = format!("encoder.down_blocks.{level}");
        let mut block = resnets(&name, half, before, width, half.layers_per_block);
        if level + 1 < widths.len() {
            block.push(Step::Module(downsample(format!("{name}.downsamplers.0"), width)));
        }
        steps.push(module(name, "DownEncoderBlock2D", Body::Sequence(block)));
        before = width;
    }
    steps.push(Step::Module(mid_block("encoder.mid_block", half)));
    steps.extend(out("encoder", half, half.last(), 2 * latent_channels));
    Module { name: "encoder".to_owned(), class: "Encoder", body: Body::Sequence(steps) }
}

/// `Decoder`: (N, C, h, w) to (N, 3, h * f, w * f).
pub(super) fn decoder(half: Half, latent_channels: usize, out_channels: usize) -> Module {
    let widths = half.widths;
    let conv_in = conv2d("decoder.conv_in".to_owned(), latent_channels, half.last(), 3);
    let mut steps = vec![Step::Module(conv_in), Step::Module(mid_block("decoder.mid_block", half))];
    let mut before = half.last();
    for (level, &width) in widths.iter().rev().enumerate() {
        let name = format!("decoder.up_blocks.{level}");
        let mut block = resnets(&name, half, before, width, half.layers_per_block + 1);
        if level + 1 < widths.len() {
            block.push(Step::Module(upsample(format!("{name}.upsamplers.0"), width)));
        }
        steps.push(module(name, "UpDecoderBlock2D", Body::Sequence(block)));
        before = width;
    }
    steps.extend(out("decoder", half, half.first(), out_channels));
    Module { name: "decoder".to_owned(), class: "Decoder", body: Body::Sequence(steps) }
}

/// `quant_conv` or `post_quant_conv`.
pub(super) fn one_by_one(name: &str, channels: usize) -> Module {
    conv2d(name.to_owned(), channels, channels, 1)
}

/// What both halves end in; `conv_act` is SiLU whatever `act_fn` says.
fn out(name: &str, half: Half, channels: usize, outputs: usize) -> [Step; 3] {
    [
        Step::Module(group_norm(format!("{name}.conv_norm_out"), half, channels)),
        Step::Function(Function::Activation(Activation::Silu)),
        Step::Module(conv2d(format!("{name}.conv_out"), channels, outputs, 3)),
    ]
}

/// `UNetMidBlock2D`: resnet, attention where the config has it, resnet.
fn mid_block(name: &str, half: Half) -> Module {
    let channels = half.last();
    let mut steps = resnets(name, half, channels, channels, 2);
    if half.attention {
        let attention = attention(format!("{name}.attentions.0"), half, channels);
        steps.insert(1, Step::Module(attention));
    }
    Module { name: name.to_owned(), class: "UNetMidBlock2D", body: Body::Sequence(steps) }
}

fn resnets(block: &str, half: Half, before: usize, width: usize, layers: usize) -> Vec<Step> {
    let resnet = |layer| {
        let inputs = if layer == 0 { before } else { width };
        Step::Module(resnet(format!("{block}.resnets.{layer}"), half, inputs, width))
    };
    (0..layers).map(resnet).collect()
}

/// `ResnetBlock2D` (`models/resnet.py`) without a time embedding, `output_scale_factor` 1.
fn resnet(name: String, half: Half, inputs: usize, outputs: usize) -> Module {
    let nonlinearity = || Step::Function(Function::Activation(half.act_fn));
    let hidden = vec![
        Step::Module(group_norm(format!("{name}.norm1"), half, inputs)),
        nonlinearity(),
        Step::Module(conv2d(format!("{name}.conv1"), inputs, outputs, 3)),
        Step::Module(group_norm(format!("{name}.norm2"), half, outputs)),
        nonlinearity(),
        Step::Module(conv2d(format!("{name}.conv2"), outputs, outputs, 3)),
    ];
    let shortcut = (inputs != outputs)
        .then(|| Box::new(conv2d(format!("{name}.conv_shortcut"), inputs, outputs, 1)));
    Module {
        name,
        class: "ResnetBlock2D",
        body: Body::Residual(Residual {
            hidden,
            shortcut,
            shortcut_functions: Vec::new(),
            order: Order::ShortcutPlusHidden,
        }),
    }
}

/// `Downsample2D` (`models/downsampling.py`) with `padding=0`: half the size.
fn downsample(name: String, channels: usize) -> Module {
    let mut conv = conv2d(format!("{name}.conv"), channels, channels, 3);
    if let Body::Conv2d(conv) = &mut conv.body {
        (conv.stride, conv.padding) = (2, 0);
    }
    let steps = vec![Step::Function(Function::PadRightAndBottom), Step::Module(conv)];
    Module { name, class: "Downsample2D", body: Body::Sequence(steps) }
}

/// `Upsample2D` (`models/upsampling.py`): each value becomes a 2x2 square, then a convolution.
fn upsample(name: String, channels: usize) -> Module {
    let conv = conv2d(format!("{name}.conv"), channels, channels, 3);
    let steps = vec![Step::Function(Function::UpsampleNearest2x), Step::Module(conv)];
    Module { name, class: "Upsample2D", body: Body::Sequence(steps) }
}

/// `Attention` with `AttnProcessor2_0` (`models/attention_processor.py`): biased projections.
fn attention(name: String, half: Half, channels: usize) -> Module {
    let linear = |part: &str| Module {
        name: format!("{name}.{part}"),
        class: "Linear",
        body: Body::Linear(Linear {
            weight: Parameter::new([channels, channels]),
            bias: Some(Parameter::new([channels])),
        }),
    };
    let attention = Attention {
        group_norm: group_norm(format!("{name}.group_norm"), half, channels),
        to_q: linear("to_q"),
        to_k: linear("to_k"),
        to_v: linear("to_v"),
        to_out: linear("to_out.0"),
    };
    Module { name, class: "Attention", body: Body::Attention(Box::new(attention)) }
}

fn group_norm(name: String, half: Half, channels: usize) -> Module {
    let norm = GroupNorm {
        weight: Parameter::new([channels]),
        bias: Parameter::new([channels]),
        num_groups: half.norm_num_groups,
        eps: EPS,
    };
    Module { name, class: "GroupNorm", body: Body::GroupNorm(norm) }
}

/// With padding that keeps the size.
fn conv2d(name: String, inputs: usize, outputs: usize, kernel: usize) -> Module {
    let conv = Conv2d {
        weight: Parameter::new([outputs, inputs, kernel, kernel]),
        bias: Some(Parameter::new([outputs])),
        stride: 1,
        padding: kernel / 2,
    };
    Module { name, class: "Conv2d", body: Body::Conv2d(conv) }
}

fn module(name: String, class: &'static str, body: Body) -> Step {
    Step::Module(Module { name, class, body })
}

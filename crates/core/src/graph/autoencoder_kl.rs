//! diffusers' `AutoencoderKL` (`models/autoencoders/autoencoder_kl.py`, `vae.py`).

use super::Graph;
use super::module::{
    Attention, Body, Conv2d, Function, GroupNorm, Linear, Module, Parameter, Residual, Step,
};
use crate::config::{Activation, AutoencoderKLConfig};

/// Of every `GroupNorm` of the class.
const EPS: f64 = 1e-6;

pub(super) fn graph(config: &AutoencoderKLConfig) -> Graph {
    let latent = config.latent_channels;
    let conv = |name: &str, channels| conv2d(name.to_owned(), channels, channels, 1);
    Graph {
        encoder: encoder(config),
        decoder: decoder(config),
        quant_conv: config.use_quant_conv.then(|| conv("quant_conv", 2 * latent)),
        post_quant_conv: config.use_post_quant_conv.then(|| conv("post_quant_conv", latent)),
    }
}

/// `Encoder`: (N, 3, H, W) to (N, 2C, H / f, W / f).
fn encoder(config: &AutoencoderKLConfig) -> Module {
    let widths = &config.block_out_channels;
    let (first, last) = (widths[0], widths[widths.len() - 1]);
    let mut steps =
        vec![Step::Module(conv2d("encoder.conv_in".to_owned(), config.in_channels, first, 3))];
    let mut before = first;
    for (level, &width) in widths.iter().enumerate() {
        let name = format!("encoder.down_blocks.{level}");
        let mut block = resnets(&name, config, before, width, config.layers_per_block);
        if level + 1 < widths.len() {
            block.push(Step::Module(downsample(format!("{name}.downsamplers.0"), width)));
        }
        steps.push(module(name, "DownEncoderBlock2D", Body::Sequence(block)));
        before = width;
    }
    steps.push(Step::Module(mid_block("encoder.mid_block", config, last)));
    steps.extend(out("encoder", config, last, 2 * config.latent_channels));
    Module { name: "encoder".to_owned(), class: "Encoder", body: Body::Sequence(steps) }
}

/// `Decoder`: (N, C, h, w) to (N, 3, h * f, w * f).
fn decoder(config: &AutoencoderKLConfig) -> Module {
    let widths = &config.block_out_channels;
    let (first, last) = (widths[0], widths[widths.len() - 1]);
    let conv_in = conv2d("decoder.conv_in".to_owned(), config.latent_channels, last, 3);
    let mut steps =
        vec![Step::Module(conv_in), Step::Module(mid_block("decoder.mid_block", config, last))];
    let mut before = last;
    for (level, &width) in widths.iter().rev().enumerate() {
        let name = format!("decoder.up_blocks.{level}");
        let mut block = resnets(&name, config, before, width, config.layers_per_block + 1);
        if level + 1 < widths.len() {
            block.push(Step::Module(upsample(format!("{name}.upsamplers.0"), width)));
        }
        steps.push(module(name, "UpDecoderBlock2D", Body::Sequence(block)));
        before = width;
    }
    steps.extend(out("decoder", config, first, config.out_channels));
    Module { name: "decoder".to_owned(), class: "Decoder", body: Body::Sequence(steps) }
}

/// What both halves end in; `conv_act` is SiLU whatever `act_fn` says.
fn out(half: &str, config: &AutoencoderKLConfig, channels: usize, outputs: usize) -> [Step; 3] {
    [
        Step::Module(group_norm(format!("{half}.conv_norm_out"), config, channels)),
        Step::Function(Function::Activation(Activation::Silu)),
        Step::Module(conv2d(format!("{half}.conv_out"), channels, outputs, 3)),
    ]
}

/// `UNetMidBlock2D`: resnet, attention where the config has it, resnet.
fn mid_block(name: &str, config: &AutoencoderKLConfig, channels: usize) -> Module {
    let mut steps = resnets(name, config, channels, channels, 2);
    if config.mid_block_add_attention {
        let attention = attention(format!("{name}.attentions.0"), config, channels);
        steps.insert(1, Step::Module(attention));
    }
    Module { name: name.to_owned(), class: "UNetMidBlock2D", body: Body::Sequence(steps) }
}

fn resnets(
    block: &str,
    config: &AutoencoderKLConfig,
    before: usize,
    width: usize,
    layers: usize,
) -> Vec<Step> {
    let resnet = |layer| {
        let inputs = if layer == 0 { before } else { width };
        Step::Module(resnet(format!("{block}.resnets.{layer}"), config, inputs, width))
    };
    (0..layers).map(resnet).collect()
}

/// `ResnetBlock2D` (`models/resnet.py`) without a time embedding, `output_scale_factor` 1.
fn resnet(name: String, config: &AutoencoderKLConfig, inputs: usize, outputs: usize) -> Module {
    let nonlinearity = || Step::Function(Function::Activation(config.act_fn));
    let hidden = vec![
        Step::Module(group_norm(format!("{name}.norm1"), config, inputs)),
        nonlinearity(),
        Step::Module(conv2d(format!("{name}.conv1"), inputs, outputs, 3)),
        Step::Module(group_norm(format!("{name}.norm2"), config, outputs)),
        nonlinearity(),
        Step::Module(conv2d(format!("{name}.conv2"), outputs, outputs, 3)),
    ];
    let conv_shortcut = (inputs != outputs)
        .then(|| Box::new(conv2d(format!("{name}.conv_shortcut"), inputs, outputs, 1)));
    Module {
        name,
        class: "ResnetBlock2D",
        body: Body::Residual(Residual { hidden, conv_shortcut }),
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
fn attention(name: String, config: &AutoencoderKLConfig, channels: usize) -> Module {
    let linear = |part: &str| Module {
        name: format!("{name}.{part}"),
        class: "Linear",
        body: Body::Linear(Linear {
            weight: Parameter::new([channels, channels]),
            bias: Parameter::new([channels]),
        }),
    };
    let attention = Attention {
        group_norm: group_norm(format!("{name}.group_norm"), config, channels),
        to_q: linear("to_q"),
        to_k: linear("to_k"),
        to_v: linear("to_v"),
        to_out: linear("to_out.0"),
    };
    Module { name, class: "Attention", body: Body::Attention(Box::new(attention)) }
}

fn group_norm(name: String, config: &AutoencoderKLConfig, channels: usize) -> Module {
    let norm = GroupNorm {
        weight: Parameter::new([channels]),
        bias: Parameter::new([channels]),
        num_groups: config.norm_num_groups,
        eps: EPS,
    };
    Module { name, class: "GroupNorm", body: Body::GroupNorm(norm) }
}

/// With padding that keeps the size.
fn conv2d(name: String, inputs: usize, outputs: usize, kernel: usize) -> Module {
    let conv = Conv2d {
        weight: Parameter::new([outputs, inputs, kernel, kernel]),
        bias: Parameter::new([outputs]),
        stride: 1,
        padding: kernel / 2,
    };
    Module { name, class: "Conv2d", body: Body::Conv2d(conv) }
}

fn module(name: String, class: &'static str, body: Body) -> Step {
    Step::Module(Module { name, class, body })
}

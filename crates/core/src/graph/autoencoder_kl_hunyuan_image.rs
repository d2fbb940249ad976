//! diffusers' `AutoencoderKLHunyuanImage` (`models/autoencoders/autoencoder_kl_hunyuanimage.py`): residual
//! blocks and attention as `AutoencoderKL` has them, between which squares of pixels become channels.

use super::Graph;
use super::module::{
    Body, Conv2d, ConvAttention, Function, GroupNorm, Module, Order, Residual, Step,
};
use super::parameter::Parameter;
use crate::config::{Activation, AutoencoderKLHunyuanImageConfig};

/// Of every `GroupNorm` of the class.
const EPS: f64 = 1e-6;
/// Its groups.
const NUM_GROUPS: usize = 32;

pub(super) fn graph(config: &AutoencoderKLHunyuanImageConfig) -> Graph {
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

/// `HunyuanImageEncoder2D`: (N, 3, H, W) to moments (N, 2C, H / f, W / f), to which means of the channels
/// before the last norm are added.
fn encoder(config: &AutoencoderKLHunyuanImageConfig) -> Module {
    let widths = &config.block_out_channels;
    let conv_in = conv2d("encoder.conv_in".to_owned(), config.in_channels, widths[0], 3);
    let mut steps = vec![Step::Module(conv_in)];
    let mut blocks = Numbered::new("encoder.down_blocks");
    for (level, &width) in widths.iter().enumerate() {
        for _ in 0..config.layers_per_block {
            blocks.push(|name| resnet(name, width));
        }
        if let (Some(&next), true) = (widths.get(level + 1), config.halves_after(level)) {
            blocks.push(|name| downsample(name, width, next));
        }
    }
    steps.extend(blocks.steps);
    let (last, moments) = (widths[widths.len() - 1], 2 * config.latent_channels);
    steps.push(Step::Module(mid_block("encoder.mid_block", last)));
    let hidden = out("encoder", last, moments).to_vec();
    steps.push(Step::Residual(sum(hidden, vec![Function::GroupMeans(last / moments)])));
    let body = Body::Sequence(steps);
    Module { name: "encoder".to_owned(), class: "HunyuanImageEncoder2D", body }
}

/// `HunyuanImageDecoder2D`: (N, C, h, w), whose repeated channels are added to what the first convolution
/// makes of them, to (N, 3, h * f, w * f).
fn decoder(config: &AutoencoderKLHunyuanImageConfig) -> Module {
    let widths = &config.block_out_channels;
    let (last, latent) = (widths[widths.len() - 1], config.latent_channels);
    let conv_in = Step::Module(conv2d("decoder.conv_in".to_owned(), latent, last, 3));
    let repeated = vec![Function::RepeatChannels(last / latent)];
    let mut steps = vec![
        Step::Residual(sum(vec![conv_in], repeated)),
        Step::Module(mid_block("decoder.mid_block", last)),
    ];
    let mut blocks = Numbered::new("decoder.up_blocks");
    for (level, &width) in widths.iter().enumerate().rev() {
        for _ in 0..=config.layers_per_block {
            blocks.push(|name| resnet(name, width));
        }
        if let Some(outer) = level.checked_sub(1).filter(|&outer| config.doubles_before(outer)) {
            blocks.push(|name| upsample(name, width, widths[outer]));
        }
    }
    steps.extend(blocks.steps);
    steps.extend(out("decoder", widths[0], config.out_channels));
    let body = Body::Sequence(steps);
    Module { name: "decoder".to_owned(), class: "HunyuanImageDecoder2D", body }
}

/// Blocks of all levels in one list.
struct Numbered {
    list: &'static str,
    steps: Vec<Step>,
}

impl Numbered {
    fn new(list: &'static str) -> Self {
        Self { list, steps: Vec::new() }
    }

    fn push(&mut self, block: impl FnOnce(String) -> Module) {
        let name = format!("{}.{}", self.list, self.steps.len());
        self.steps.push(Step::Module(block(name)));
    }
}

/// What both halves end in.
fn out(half: &str, channels: usize, outputs: usize) -> [Step; 3] {
    [
        Step::Module(group_norm(format!("{half}.norm_out"), channels)),
        silu(),
        Step::Module(conv2d(format!("{half}.conv_out"), channels, outputs, 3)),
    ]
}

/// `HunyuanImageMidBlock`: resnet, attention, resnet.
fn mid_block(name: &str, channels: usize) -> Module {
    let steps = vec![
        Step::Module(resnet(format!("{name}.resnets.0"), channels)),
        Step::Module(attention(format!("{name}.attentions.0"), channels)),
        Step::Module(resnet(format!("{name}.resnets.1"), channels)),
    ];
    let body = Body::Sequence(steps);
    Module { name: name.to_owned(), class: "HunyuanImageMidBlock", body }
}

/// `HunyuanImageResnetBlock`, which keeps its channels: with a `conv_shortcut` diffusers cannot run it.
fn resnet(name: String, channels: usize) -> Module {
    let hidden = vec![
        Step::Module(group_norm(format!("{name}.norm1"), channels)),
        silu(),
        Step::Module(conv2d(format!("{name}.conv1"), channels, channels, 3)),
        Step::Module(group_norm(format!("{name}.norm2"), channels)),
        silu(),
        Step::Module(conv2d(format!("{name}.conv2"), channels, channels, 3)),
    ];
    let body = Body::Residual(sum(hidden, Vec::new()));
    Module { name, class: "HunyuanImageResnetBlock", body }
}

/// `HunyuanImageAttentionBlock`.
fn attention(name: String, channels: usize) -> Module {
    let part = |part: &str| conv2d(format!("{name}.{part}"), channels, channels, 1);
    let attention = ConvAttention {
        norm: group_norm(format!("{name}.norm"), channels),
        to_q: part("to_q"),
        to_k: part("to_k"),
        to_v: part("to_v"),
        proj: part("proj"),
    };
    let body = Body::ConvAttention(Box::new(attention));
    Module { name, class: "HunyuanImageAttentionBlock", body }
}

/// `HunyuanImageDownsample`: half the size, around which groups of channels and squares are averaged.
fn downsample(name: String, inputs: usize, outputs: usize) -> Module {
    let squares = Function::SquaresToChannels2x;
    let conv = conv2d(format!("{name}.conv"), inputs, outputs / 4, 3);
    let hidden = vec![Step::Module(conv), Step::Function(squares)];
    let means = vec![squares, Function::GroupMeans(4 * inputs / outputs)];
    Module { name, class: "HunyuanImageDownsample", body: Body::Residual(sum(hidden, means)) }
}

/// `HunyuanImageUpsample`: twice the size, around which channels are repeated.
fn upsample(name: String, inputs: usize, outputs: usize) -> Module {
    let squares = Function::ChannelsToSquares2x;
    let conv = conv2d(format!("{name}.conv"), inputs, 4 * outputs, 3);
    let hidden = vec![Step::Module(conv), Step::Function(squares)];
    let repeated = vec![Function::RepeatChannels(4 * outputs / inputs), squares];
    Module { name, class: "HunyuanImageUpsample", body: Body::Residual(sum(hidden, repeated)) }
}

fn sum(hidden: Vec<Step>, shortcut_functions: Vec<Function>) -> Residual {
    Residual { hidden, shortcut: None, shortcut_functions, order: Order::HiddenPlusShortcut }
}

fn silu() -> Step {
    Step::Function(Function::Activation(Activation::Silu))
}

fn group_norm(name: String, channels: usize) -> Module {
    let norm = GroupNorm {
        weight: Parameter::new([channels]),
        bias: Parameter::new([channels]),
        num_groups: NUM_GROUPS,
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

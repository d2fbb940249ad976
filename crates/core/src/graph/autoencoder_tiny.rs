//! diffusers' `AutoencoderTiny` (`models/autoencoders/autoencoder_tiny.py`, `vae.py`,
//! `models/unets/unet_2d_blocks.py`), and the pooled blocks that `taesd.py` has beside it.

use super::Graph;
use super::module::{
    Body, Conv2d, Elementwise, Function, GroupNorm, Module, Order, Residual, Step,
};
use super::parameter::Parameter;
use crate::config::{Activation, AutoencoderTinyConfig};

/// Groups of the norm in a pool, whose channels are as many times those of its block.
const POOL: usize = 4;

/// PyTorch's default, which the norm in a pool has.
const EPS: f64 = 1e-5;

pub(super) fn graph(config: &AutoencoderTinyConfig) -> Graph {
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

/// `EncoderTiny`: (N, 3, H, W) in [-1, 1] to latents (N, C, H / f, W / f), sides rounded up.
fn encoder(config: &AutoencoderTinyConfig) -> Module {
    let mut layers = Layers::of("encoder");
    let last = config.num_encoder_blocks.len() - 1;
    for (level, &blocks) in config.num_encoder_blocks.iter().enumerate() {
        let width = config.encoder_block_out_channels[level];
        match level {
            0 => layers.conv2d(config.in_channels, width, 1, true),
            _ => layers.conv2d(width, width, 2, false),
        }
        let pool = config.use_midblock_gn && level == last;
        layers.blocks(blocks, width, config.act_fn, pool);
    }
    layers.conv2d(config.encoder_block_out_channels[last], config.latent_channels, 1, true);
    let to_unit_range = Step::Function(Function::Elementwise(Elementwise::ToUnitRange));
    let steps = vec![to_unit_range, Step::Module(layers.into_module())];
    Module { name: "encoder".to_owned(), class: "EncoderTiny", body: Body::Sequence(steps) }
}

/// `DecoderTiny`: latents (N, C, h, w) to (N, 3, h * f, w * f), [-1, 1] where nothing went wrong.
fn decoder(config: &AutoencoderTinyConfig) -> Module {
    let mut layers = Layers::of("decoder");
    let last = config.num_decoder_blocks.len() - 1;
    layers.conv2d(config.latent_channels, config.decoder_block_out_channels[0], 1, true);
    layers.function(&[Function::Activation(config.act_fn)]);
    for (level, &blocks) in config.num_decoder_blocks.iter().enumerate() {
        let width = config.decoder_block_out_channels[level];
        let pool = config.use_midblock_gn && level == 0;
        layers.blocks(blocks, width, config.act_fn, pool);
        if level == last {
            layers.conv2d(width, config.out_channels, 1, true);
            continue;
        }
        // Enlarging by 4 is to do it twice by 2: each value becomes a square of copies.
        let doublings = config.upsampling_scaling_factor.ilog2() as usize;
        layers.function(&vec![Function::UpsampleNearest2x; doublings]);
        layers.conv2d(width, width, 1, false);
    }
    let elementwise = |what| Step::Function(Function::Elementwise(what));
    let steps = vec![
        elementwise(Elementwise::SoftClamp),
        Step::Module(layers.into_module()),
        elementwise(Elementwise::FromUnitRange),
    ];
    Module { name: "decoder".to_owned(), class: "DecoderTiny", body: Body::Sequence(steps) }
}

/// `layers` of a half: a `torch.nn.Sequential`, which numbers its modules.
struct Layers {
    name: String,
    steps: Vec<Step>,
    count: usize,
}

impl Layers {
    fn of(half: &str) -> Self {
        Self { name: format!("{half}.layers"), steps: Vec::new(), count: 0 }
    }

    fn next_name(&mut self) -> String {
        let name = format!("{}.{}", self.name, self.count);
        self.count += 1;
        name
    }

    /// One module without tensors, which may do several things.
    fn function(&mut self, functions: &[Function]) {
        self.count += 1;
        self.steps.extend(functions.iter().copied().map(Step::Function));
    }

    fn conv2d(&mut self, inputs: usize, outputs: usize, stride: usize, bias: bool) {
        let name = self.next_name();
        self.steps.push(conv2d(name, (inputs, outputs), 3, stride, bias));
    }

    fn blocks(&mut self, count: usize, width: usize, act_fn: Activation, pool: bool) {
        for _ in 0..count {
            let name = self.next_name();
            self.steps.push(block(name, width, act_fn, pool));
        }
    }

    fn into_module(self) -> Module {
        Module { name: self.name, class: "Sequential", body: Body::Sequence(self.steps) }
    }
}

/// `AutoencoderTinyBlock`, whose input and output are as wide; `Block` of `taesd.py`, with a pool.
fn block(name: String, width: usize, act_fn: Activation, pool: bool) -> Step {
    let nonlinearity = || Step::Function(Function::Activation(act_fn));
    let conv = |index: usize| conv2d(format!("{name}.conv.{index}"), (width, width), 3, 1, true);
    let hidden = vec![conv(0), nonlinearity(), conv(2), nonlinearity(), conv(4)];
    let mut steps = Vec::new();
    if pool {
        steps.push(added(pool_of(format!("{name}.pool"), width)));
    }
    steps.push(added(sequential(format!("{name}.conv"), hidden)));
    // `fuse`
    steps.push(Step::Function(Function::Activation(Activation::Relu)));
    Step::Module(Module { name, class: "AutoencoderTinyBlock", body: Body::Sequence(steps) })
}

/// `Block.pool` of `taesd.py`: a norm over the whole picture between two 1x1 convolutions.
fn pool_of(name: String, width: usize) -> Module {
    let wide = POOL * width;
    let norm = GroupNorm {
        weight: Parameter::new([wide]),
        bias: Parameter::new([wide]),
        num_groups: POOL,
        eps: EPS,
    };
    let norm =
        Module { name: format!("{name}.1"), class: "GroupNorm", body: Body::GroupNorm(norm) };
    let steps = vec![
        conv2d(format!("{name}.0"), (width, wide), 1, 1, false),
        Step::Module(norm),
        Step::Function(Function::Activation(Activation::Relu)),
        conv2d(format!("{name}.3"), (wide, width), 1, 1, false),
    ];
    sequential(name, steps)
}

/// What a module makes of the input, plus the input.
fn added(module: Module) -> Step {
    let hidden = vec![Step::Module(module)];
    Step::Residual(Residual {
        hidden,
        shortcut: None,
        shortcut_functions: Vec::new(),
        order: Order::HiddenPlusShortcut,
    })
}

fn sequential(name: String, steps: Vec<Step>) -> Module {
    Module { name, class: "Sequential", body: Body::Sequence(steps) }
}

/// Padded so that, at a stride of 1, the size stays.
fn conv2d(
    name: String,
    (inputs, outputs): (usize, usize),
    kernel: usize,
    stride: usize,
    bias: bool,
) -> Step {
    let conv = Conv2d {
        weight: Parameter::new([outputs, inputs, kernel, kernel]),
        bias: bias.then(|| Parameter::new([outputs])),
        stride,
        padding: kernel / 2,
    };
    Step::Module(Module { name, class: "Conv2d", body: Body::Conv2d(conv) })
}

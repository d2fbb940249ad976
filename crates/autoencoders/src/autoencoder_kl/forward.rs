//! Runs a graph on an engine, module by module in diffusers' order.

use vae_fidelity_core::graph::{
    Attention, Body, ConvAttention, Function, Module, MultiscaleAttention, Order, Parameter,
    QkvAttention, Residual, Sampling, Step, TimeConv,
};
use vae_fidelity_files::error::Result;

use super::engine::{BatchNorm, Engine, First, Groups, Kernel, Layer, Shuffle};
use super::feat_cache::FeatCache;

/// Called with each module and its output, in the order in which modules finish: PyTorch's
/// `register_forward_hook`, for all modules.
pub(super) type ForwardHook<'a, T> = &'a mut dyn FnMut(Named, &T) -> Result<()>;

/// Name and class of a module, as `named_modules()` in diffusers gives them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named<'a> {
    pub name: &'a str,
    pub class: &'static str,
}

/// The [`ForwardHook`] that does nothing.
pub(super) fn no_hook<T>(_: Named, _: &T) -> Result<()> {
    Ok(())
}

/// What goes along with a pass from module to module.
pub(super) struct Pass<'a, T> {
    /// Called with each module's output.
    pub hook: ForwardHook<'a, T>,
    /// What was before the frames that are given; `None` for pictures.
    pub feat_cache: Option<&'a mut FeatCache<T>>,
}

impl<'a, T> Pass<'a, T> {
    /// Of pictures.
    pub fn new(hook: ForwardHook<'a, T>) -> Self {
        Self { hook, feat_cache: None }
    }

    /// Of pictures, or of the first frame of a clip.
    fn is_first(&self) -> bool {
        self.feat_cache.as_deref().is_none_or(|cache| cache.first_chunk)
    }
}

/// What a module is given: to be read only, or for good, so that it goes when it is not needed any more.
#[derive(Debug)]
pub(super) enum Input<'a, T> {
    Borrowed(&'a T),
    Owned(T),
}

impl<T> Input<'_, T> {
    fn get(&self) -> &T {
        match self {
            Self::Borrowed(xs) => xs,
            Self::Owned(xs) => xs,
        }
    }

    pub fn owned<E: Engine<Tensor = T>>(self, engine: &E, at: &str) -> Result<T> {
        match self {
            Self::Borrowed(xs) => engine.copied(xs, at),
            Self::Owned(xs) => Ok(xs),
        }
    }
}

/// What `module` makes of `xs`.
pub(super) fn forward<E: Engine>(
    engine: &E,
    module: &Module<E::Weight>,
    xs: Input<E::Tensor>,
    pass: &mut Pass<E::Tensor>,
) -> Result<E::Tensor> {
    let at = module.name.as_str();
    let ys = match &module.body {
        Body::Conv2d(conv) => {
            let bias = conv.bias.as_ref().map(|bias| &bias.value);
            let kernel = Kernel { weight: &conv.weight.value, bias };
            engine.conv2d(xs.get(), kernel, conv.stride, conv.padding, at)?
        }
        Body::GroupNorm(norm) => {
            let layer = layer(&norm.weight, &norm.bias);
            engine.group_norm(xs.get(), layer, norm.num_groups, norm.eps, at)?
        }
        Body::Linear(linear) => {
            let bias = linear.bias.as_ref().map(|bias| &bias.value);
            engine.linear(xs.get(), Kernel { weight: &linear.weight.value, bias }, at)?
        }
        Body::Sequence(steps) => sequence(engine, steps, xs, at, pass)?,
        Body::Residual(block) => residual(engine, block, xs, at, pass)?,
        Body::Attention(block) => attention(engine, block, xs.get(), at, pass)?,
        Body::CausalConv3d(conv) => {
            let kernel = Kernel { weight: &conv.weight.value, bias: Some(&conv.bias.value) };
            match pass.feat_cache.as_deref_mut() {
                Some(cache) if conv.frames() > 1 => {
                    let xs = xs.get();
                    let kept = cache.kept(engine, at, xs)?;
                    let ys =
                        engine.conv_over_frames(xs, cache.before(at), kernel, conv.padding, at)?;
                    cache.keep(at, kept);
                    ys
                }
                _ => engine.causal_conv3d(xs.get(), kernel, conv.padding, at)?,
            }
        }
        Body::RmsNorm(norm) => engine.rms_norm(xs.get(), &norm.gamma.value, at)?,
        Body::QkvAttention(block) => qkv_attention(engine, block, xs.get(), at, pass)?,
        Body::AvgDown3D(shape) => engine.avg_down(xs.get(), *shape, pass.is_first(), at)?,
        Body::DupUp3D(shape) => engine.dup_up(xs.get(), *shape, pass.is_first(), at)?,
        Body::GroupedConv2d(conv) => {
            let bias = conv.bias.as_ref().map(|bias| &bias.value);
            let kernel = Kernel { weight: &conv.weight.value, bias };
            let groups = Groups { groups: conv.groups, side: conv.weight.shape[2] };
            engine.grouped_conv2d(xs.get(), kernel, groups, at)?
        }
        Body::RmsNormOfPixels(norm) => {
            engine.rms_norm_of_pixels(xs.get(), layer(&norm.weight, &norm.bias), norm.eps, at)?
        }
        Body::BatchNorm2d(norm) => {
            let norm = BatchNorm {
                layer: layer(&norm.weight, &norm.bias),
                running_mean: &norm.running_mean.value,
                running_var: &norm.running_var.value,
                eps: norm.eps,
            };
            engine.batch_norm(xs.get(), norm, at)?
        }
        Body::MultiscaleAttention(block) => {
            multiscale_attention(engine, block, xs.get(), at, pass)?
        }
        Body::ConvAttention(block) => conv_attention(engine, block, xs.get(), at, pass)?,
    };
    (pass.hook)(Named { name: at, class: module.class }, &ys)?;
    Ok(ys)
}

fn layer<'a, W>(weight: &'a Parameter<W>, bias: &'a Parameter<W>) -> Layer<'a, W> {
    Layer { weight: &weight.value, bias: &bias.value }
}

fn sequence<E: Engine>(
    engine: &E,
    steps: &[Step<E::Weight>],
    mut xs: Input<E::Tensor>,
    at: &str,
    pass: &mut Pass<E::Tensor>,
) -> Result<E::Tensor> {
    for step in steps {
        xs = Input::Owned(match step {
            Step::Module(module) => forward(engine, module, xs, pass)?,
            Step::Function(function) => apply(engine, *function, xs, at)?,
            Step::Residual(block) => residual(engine, block, xs, at, pass)?,
            Step::TimeConv(conv) => match pass.feat_cache.as_deref_mut() {
                None => continue,
                Some(cache) => time_conv(engine, conv, xs, cache)?,
            },
        });
    }
    xs.owned(engine, at)
}

/// The first frame of a clip passes as it is, and looks back at nothing on the way up.
fn time_conv<E: Engine>(
    engine: &E,
    conv: &TimeConv<E::Weight>,
    xs: Input<E::Tensor>,
    cache: &mut FeatCache<E::Tensor>,
) -> Result<E::Tensor> {
    let at = conv.name.as_str();
    if cache.first_chunk {
        let xs = xs.owned(engine, at)?;
        if conv.sampling == Sampling::Down {
            let kept = cache.kept(engine, at, &xs)?;
            cache.keep(at, kept);
        }
        return Ok(xs);
    }
    let kernel = Kernel { weight: &conv.weight.value, bias: Some(&conv.bias.value) };
    let xs = xs.get();
    let kept = cache.kept(engine, at, xs)?;
    let ys = engine.time_conv(xs, cache.before(at), kernel, conv.sampling, at)?;
    cache.keep(at, kept);
    Ok(ys)
}

/// What `function` makes of `xs`.
pub(super) fn apply<E: Engine>(
    engine: &E,
    function: Function,
    xs: Input<E::Tensor>,
    at: &str,
) -> Result<E::Tensor> {
    match function {
        Function::Activation(activation) => engine.activation(xs.owned(engine, at)?, activation),
        Function::PadRightAndBottom => engine.pad(xs.get(), at),
        Function::UpsampleNearest2x => engine.upsample_nearest_2x(xs.get(), at),
        Function::Elementwise(function) => engine.elementwise(xs.owned(engine, at)?, function, at),
        Function::Patchify(patch) => engine.patchify(xs.get(), patch, at),
        Function::Unpatchify(patch) => engine.unpatchify(xs.get(), patch, at),
        Function::PixelUnshuffle2x => engine.shuffled(xs.get(), Shuffle::SpaceToChannels, at),
        Function::PixelShuffle2x => engine.shuffled(xs.get(), Shuffle::ChannelsToSpace, at),
        Function::GroupMeans(count) => engine.shuffled(xs.get(), Shuffle::GroupMeans(count), at),
        Function::RepeatChannels(times) => engine.shuffled(xs.get(), Shuffle::Repeat(times), at),
        Function::GateBySilu => engine.shuffled(xs.get(), Shuffle::Gate, at),
        Function::ChannelsLast => engine.shuffled(xs.get(), Shuffle::ChannelsLast, at),
        Function::ChannelsFirst => engine.shuffled(xs.get(), Shuffle::ChannelsFirst, at),
        Function::SquaresToChannels2x => engine.shuffled(xs.get(), Shuffle::SquaresToChannels, at),
        Function::ChannelsToSquares2x => engine.shuffled(xs.get(), Shuffle::ChannelsToSquares, at),
    }
}

fn residual<E: Engine>(
    engine: &E,
    block: &Residual<E::Weight>,
    xs: Input<E::Tensor>,
    at: &str,
    pass: &mut Pass<E::Tensor>,
) -> Result<E::Tensor> {
    if let (Order::ShortcutFirst, Some(shortcut)) = (block.order, &block.shortcut) {
        let input = forward(engine, shortcut, Input::Borrowed(xs.get()), pass)?;
        let hidden = sequence(engine, &block.hidden, xs, at, pass)?;
        return engine.add_to_input(input, hidden, First::Hidden, at);
    }
    let hidden = sequence(engine, &block.hidden, Input::Borrowed(xs.get()), at, pass)?;
    let mut input = match &block.shortcut {
        Some(shortcut) => Input::Owned(forward(engine, shortcut, xs, pass)?),
        None => xs,
    };
    for function in &block.shortcut_functions {
        input = Input::Owned(apply(engine, *function, input, at)?);
    }
    let input = input.owned(engine, at)?;
    let first = match block.order {
        Order::ShortcutPlusHidden => First::Input,
        Order::HiddenPlusShortcut | Order::ShortcutFirst => First::Hidden,
    };
    engine.add_to_input(input, hidden, first, at)
}

/// As [`attention`], of images throughout.
fn qkv_attention<E: Engine>(
    engine: &E,
    block: &QkvAttention<E::Weight>,
    xs: &E::Tensor,
    at: &str,
    pass: &mut Pass<E::Tensor>,
) -> Result<E::Tensor> {
    let normed = forward(engine, &block.norm, Input::Borrowed(xs), pass)?;
    let qkv = forward(engine, &block.to_qkv, Input::Owned(normed), pass)?;
    let hidden = engine.qkv_attention(qkv, at)?;
    let hidden = forward(engine, &block.proj, Input::Owned(hidden), pass)?;
    engine.add_residual(hidden, xs, at)
}

/// diffusers' `HunyuanImageAttentionBlock`, of images throughout.
fn conv_attention<E: Engine>(
    engine: &E,
    block: &ConvAttention<E::Weight>,
    xs: &E::Tensor,
    at: &str,
    pass: &mut Pass<E::Tensor>,
) -> Result<E::Tensor> {
    let normed = forward(engine, &block.norm, Input::Borrowed(xs), pass)?;
    let mut projection =
        |to: &Module<E::Weight>| forward(engine, to, Input::Borrowed(&normed), pass);
    let qkv = [projection(&block.to_q)?, projection(&block.to_k)?, projection(&block.to_v)?];
    drop(normed);
    let hidden = engine.attention_of_images(qkv, at)?;
    let hidden = forward(engine, &block.proj, Input::Owned(hidden), pass)?;
    engine.add_residual(hidden, xs, at)
}

/// diffusers' `SanaMultiscaleAttnProcessor2_0`: (N, C, H, W) to (N, C, H, W).
fn multiscale_attention<E: Engine>(
    engine: &E,
    block: &MultiscaleAttention<E::Weight>,
    xs: &E::Tensor,
    at: &str,
    pass: &mut Pass<E::Tensor>,
) -> Result<E::Tensor> {
    // (N, H, W, C)
    let pixels = engine.shuffled(xs, Shuffle::ChannelsLast, at)?;
    let mut projection =
        |to: &Module<E::Weight>| forward(engine, to, Input::Borrowed(&pixels), pass);
    let (query, key, value) =
        (projection(&block.to_q)?, projection(&block.to_k)?, projection(&block.to_v)?);
    drop(pixels);
    let qkv = engine.stacked([query, key, value], at)?;
    let around = block.to_qkv_multiscale.iter();
    let mut around = around
        .map(|scale| forward(engine, scale, Input::Borrowed(&qkv), pass))
        .collect::<Result<Vec<_>>>()?;
    around.insert(0, qkv);
    let hidden = engine.multiscale_attention(around, block.head_dim, at)?;
    let pixels = engine.shuffled(&hidden, Shuffle::ChannelsLast, at)?;
    let hidden = forward(engine, &block.to_out, Input::Owned(pixels), pass)?;
    // There and back, as diffusers has it, changes nothing.
    let hidden = forward(engine, &block.norm_out, Input::Owned(hidden), pass)?;
    engine.add_residual(engine.shuffled(&hidden, Shuffle::ChannelsFirst, at)?, xs, at)
}

/// (N, C, H, W) to (N, C, H, W); every position attends to every other, H * W squared.
fn attention<E: Engine>(
    engine: &E,
    block: &Attention<E::Weight>,
    xs: &E::Tensor,
    at: &str,
    pass: &mut Pass<E::Tensor>,
) -> Result<E::Tensor> {
    // (N, C, H * W)
    let flat = engine.flatten(xs, at)?;
    let normed = forward(engine, &block.group_norm, Input::Owned(flat), pass)?;
    // (N, H * W, C)
    let hidden = engine.to_tokens(&normed, at)?;
    drop(normed);
    let mut projection =
        |to: &Module<E::Weight>| forward(engine, to, Input::Borrowed(&hidden), pass);
    let query = projection(&block.to_q)?;
    let key = projection(&block.to_k)?;
    let value = projection(&block.to_v)?;
    drop(hidden);
    let hidden = engine.scaled_dot_product_attention(query, key, value, at)?;
    let hidden = forward(engine, &block.to_out, Input::Owned(hidden), pass)?;
    // (N, C, H, W)
    engine.add_residual(engine.to_image(&hidden, xs, at)?, xs, at)
}

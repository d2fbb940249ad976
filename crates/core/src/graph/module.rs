//! What a graph is made of.

use super::clips::{AvgDown3D, CausalConv3d, DupUp3D, RmsNorm, TimeConv};
use super::parameter::Parameter;
use super::shuffles::{BatchNorm2d, GroupedConv2d, RmsNormOfPixels};
use crate::config::Activation;

/// A module as diffusers' `named_modules()` lists it.
#[derive(Debug, Clone, PartialEq)]
pub struct Module<W = ()> {
    /// Its name there, such as `encoder.down_blocks.0`; its tensors' names begin with it.
    pub name: String,
    /// diffusers' or PyTorch's class.
    pub class: &'static str,
    /// What it computes.
    pub body: Body<W>,
}

/// What a module computes.
#[derive(Debug, Clone, PartialEq)]
pub enum Body<W = ()> {
    /// `torch.nn.Conv2d`.
    Conv2d(Conv2d<W>),
    /// `torch.nn.GroupNorm`.
    GroupNorm(GroupNorm<W>),
    /// `torch.nn.Linear`, over tokens (N, H * W, C).
    Linear(Linear<W>),
    /// One step after another.
    Sequence(Vec<Step<W>>),
    /// A sum of two ways from the same input.
    Residual(Residual<W>),
    /// Every position attends to every other, and the input is added.
    Attention(Box<Attention<W>>),
    /// A convolution over space and time, of which one frame is given.
    CausalConv3d(CausalConv3d<W>),
    /// Each pixel's channels over their length.
    RmsNorm(RmsNorm<W>),
    /// The same as [`Body::Attention`] with one convolution for queries, keys and values.
    QkvAttention(Box<QkvAttention<W>>),
    /// Smaller, by the means of groups of values.
    AvgDown3D(AvgDown3D),
    /// Larger, by repeating values.
    DupUp3D(DupUp3D),
    /// A convolution in groups of channels.
    GroupedConv2d(GroupedConv2d<W>),
    /// `RMSNorm` of pixels.
    RmsNormOfPixels(RmsNormOfPixels<W>),
    /// `torch.nn.BatchNorm2d`, by statistics in the checkpoint.
    BatchNorm2d(BatchNorm2d<W>),
    /// Linear attention, through kernels of several sizes.
    MultiscaleAttention(Box<MultiscaleAttention<W>>),
    /// The same as [`Body::Attention`] with convolutions for its projections.
    ConvAttention(Box<ConvAttention<W>>),
}

/// A step of a sequence.
#[derive(Debug, Clone, PartialEq)]
pub enum Step<W = ()> {
    /// A module, which traces list.
    Module(Module<W>),
    /// A function without tensors, which traces do not list.
    Function(Function),
    /// A sum inside a module, which traces do not list either.
    Residual(Residual<W>),
    /// A convolution over the frames of a clip, which leaves pictures alone; traces, which are of pictures, do
    /// not list it.
    TimeConv(TimeConv<W>),
}

/// A function without tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// An activation, element by element.
    Activation(Activation),
    /// `torch.nn.functional.pad` with (0, 1, 0, 1): a zero column on the right and a zero row at the
    /// bottom.
    PadRightAndBottom,
    /// `torch.nn.functional.interpolate` by 2, mode "nearest"; "nearest-exact" gives the same values.
    UpsampleNearest2x,
    /// Squares of so many pixels a side become channels, in the order (c, pw, ph): Wan's `patchify`.
    Patchify(usize),
    /// Its inverse.
    Unpatchify(usize),
    /// Arithmetic on each value by itself.
    Elementwise(Elementwise),
    /// `torch.nn.functional.pixel_unshuffle` by 2: squares become channels, in the order (c, ph, pw).
    PixelUnshuffle2x,
    /// `torch.nn.functional.pixel_shuffle` by 2, its inverse.
    PixelShuffle2x,
    /// Each so many channels, one after another, become their mean.
    GroupMeans(usize),
    /// Each channel so many times, one after another.
    RepeatChannels(usize),
    /// The first half of the channels times SiLU of the second.
    GateBySilu,
    /// `movedim(1, -1)`: an image (N, C, H, W) to pixels (N, H, W, C).
    ChannelsLast,
    /// Back.
    ChannelsFirst,
    /// Squares of 2 x 2 pixels become channels, in the order (ph, pw, c): HunyuanImage's.
    SquaresToChannels2x,
    /// Its inverse.
    ChannelsToSquares2x,
}

/// What a half does to each value of its input or output, in steps that are each rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elementwise {
    /// `x.add(1).div(2)`: [-1, 1] to [0, 1].
    ToUnitRange,
    /// `x.mul(2).sub(1)`: [0, 1] to [-1, 1].
    FromUnitRange,
    /// `torch.tanh(x / 3) * 3`: nothing beyond 3 in size.
    SoftClamp,
    /// `torch.clamp(x, min=-1.0, max=1.0)`
    Clamp,
}

impl Elementwise {
    /// Of one value, rounded after each step by `round`.
    pub fn apply(self, x: f32, round: impl Fn(f32) -> f32) -> f32 {
        match self {
            Self::ToUnitRange => round(round(x + 1.0) / 2.0),
            Self::FromUnitRange => round(round(x * 2.0) - 1.0),
            Self::SoftClamp => round(round(libm::tanhf(round(x / 3.0))) * 3.0),
            Self::Clamp => x.clamp(-1.0, 1.0),
        }
    }
}

/// `torch.nn.Conv2d` with a square kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct Conv2d<W = ()> {
    /// (out, in, kernel, kernel)
    pub weight: Parameter<W>,
    /// (out)
    pub bias: Option<Parameter<W>>,
    /// In both directions.
    pub stride: usize,
    /// Zeros on each side.
    pub padding: usize,
}

/// `torch.nn.GroupNorm`.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupNorm<W = ()> {
    /// (C)
    pub weight: Parameter<W>,
    /// (C)
    pub bias: Parameter<W>,
    /// Groups of channels, each normalized by itself.
    pub num_groups: usize,
    /// What is added to the variance.
    pub eps: f64,
}

/// `torch.nn.Linear`.
#[derive(Debug, Clone, PartialEq)]
pub struct Linear<W = ()> {
    /// (out, in)
    pub weight: Parameter<W>,
    /// (out)
    pub bias: Option<Parameter<W>>,
}

/// The input, or what a shortcut makes of it, and what a sequence makes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Residual<W = ()> {
    /// The sequence; it begins with a module.
    pub hidden: Vec<Step<W>>,
    /// What stands in for the input.
    pub shortcut: Option<Box<Module<W>>>,
    /// What becomes of the shortcut's way after that.
    pub shortcut_functions: Vec<Function>,
    /// How the sum comes about.
    pub order: Order,
}

/// Which way of a residual is computed first, and which one a sum is written with first: that decides how
/// the sum lies in memory where both lie otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// `shortcut + hidden`, the shortcut computed last.
    ShortcutPlusHidden,
    /// `hidden + shortcut`, the shortcut computed last.
    HiddenPlusShortcut,
    /// `hidden + shortcut`, the shortcut computed first.
    ShortcutFirst,
}

/// diffusers' `Attention` with one head as wide as the block; every part is a module.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention<W = ()> {
    /// Of the image, flattened to (N, C, H * W).
    pub group_norm: Module<W>,
    /// To queries, of tokens (N, H * W, C).
    pub to_q: Module<W>,
    /// To keys.
    pub to_k: Module<W>,
    /// To values.
    pub to_v: Module<W>,
    /// `to_out.0`; `to_out.1` is a dropout that does nothing here.
    pub to_out: Module<W>,
}

/// Attention with one head as wide as the block, whose queries, keys and values one convolution makes.
#[derive(Debug, Clone, PartialEq)]
pub struct QkvAttention<W = ()> {
    /// Of the image (N, C, H, W).
    pub norm: Module<W>,
    /// To (N, 3C, H, W): queries, keys and values, one after another.
    pub to_qkv: Module<W>,
    /// Of what was attended to, (N, C, H, W).
    pub proj: Module<W>,
}

/// Attention with one head as wide as the block, all of whose projections are 1x1 convolutions of images
/// (N, C, H, W): `HunyuanImageAttentionBlock`. The input is added.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvAttention<W = ()> {
    /// Of the image.
    pub norm: Module<W>,
    /// To queries.
    pub to_q: Module<W>,
    /// To keys.
    pub to_k: Module<W>,
    /// To values.
    pub to_v: Module<W>,
    /// Of what was attended to.
    pub proj: Module<W>,
}

/// `SanaMultiscaleLinearAttention`: heads of `head_dim` channels over single pixels, and as many for each
/// kernel that looks around them. The input is added.
#[derive(Debug, Clone, PartialEq)]
pub struct MultiscaleAttention<W = ()> {
    /// To queries, of pixels (N, H, W, C).
    pub to_q: Module<W>,
    /// To keys.
    pub to_k: Module<W>,
    /// To values.
    pub to_v: Module<W>,
    /// Each of an image of queries, keys and values one after another.
    pub to_qkv_multiscale: Vec<Module<W>>,
    /// Of what was attended to, (N, H, W, C).
    pub to_out: Module<W>,
    /// The norm behind it.
    pub norm_out: Module<W>,
    /// Channels of a head.
    pub head_dim: usize,
}

impl<W> Module<W> {
    /// The modules inside it, in the order in which they run.
    pub fn children(&self) -> Vec<&Self> {
        match &self.body {
            Body::Conv2d(_) | Body::GroupNorm(_) | Body::Linear(_) => Vec::new(),
            Body::CausalConv3d(_) | Body::RmsNorm(_) => Vec::new(),
            Body::AvgDown3D(_) | Body::DupUp3D(_) => Vec::new(),
            Body::GroupedConv2d(_) | Body::RmsNormOfPixels(_) => Vec::new(),
            Body::BatchNorm2d(_) => Vec::new(),
            Body::MultiscaleAttention(attention) => {
                let MultiscaleAttention {
                    to_q,
                    to_k,
                    to_v,
                    to_qkv_multiscale,
                    to_out,
                    norm_out,
                    ..
                } = &**attention;
                let scales = to_qkv_multiscale.iter();
                [to_q, to_k, to_v].into_iter().chain(scales).chain([to_out, norm_out]).collect()
            }
            Body::Sequence(steps) => steps.iter().flat_map(Step::modules).collect(),
            Body::Residual(residual) => residual.children().collect(),
            Body::Attention(attention) => {
                let Attention { group_norm, to_q, to_k, to_v, to_out } = &**attention;
                vec![group_norm, to_q, to_k, to_v, to_out]
            }
            Body::QkvAttention(attention) => {
                let QkvAttention { norm, to_qkv, proj } = &**attention;
                vec![norm, to_qkv, proj]
            }
            Body::ConvAttention(attention) => {
                let ConvAttention { norm, to_q, to_k, to_v, proj } = &**attention;
                vec![norm, to_q, to_k, to_v, proj]
            }
        }
    }

    /// The module of this name: this one, or one inside it.
    pub fn find(&self, name: &str) -> Option<&Self> {
        match self.name == name {
            true => Some(self),
            false => self.children().into_iter().find_map(|child| child.find(name)),
        }
    }

    /// The tensors of the module itself, under their names in it.
    pub fn parameters(&self) -> Vec<(&'static str, &Parameter<W>)> {
        match &self.body {
            Body::Conv2d(Conv2d { weight, bias, .. })
            | Body::Linear(Linear { weight, bias })
            | Body::GroupedConv2d(GroupedConv2d { weight, bias, .. }) => {
                let bias = bias.iter().map(|bias| ("bias", bias));
                [("weight", weight)].into_iter().chain(bias).collect()
            }
            Body::GroupNorm(GroupNorm { weight, bias, .. })
            | Body::RmsNormOfPixels(RmsNormOfPixels { weight, bias, .. })
            | Body::CausalConv3d(CausalConv3d { weight, bias, .. }) => {
                vec![("weight", weight), ("bias", bias)]
            }
            Body::RmsNorm(RmsNorm { gamma }) => vec![("gamma", gamma)],
            Body::BatchNorm2d(BatchNorm2d { weight, bias, running_mean, running_var, .. }) => vec![
                ("weight", weight),
                ("bias", bias),
                ("running_mean", running_mean),
                ("running_var", running_var),
            ],
            Body::AvgDown3D(_) | Body::DupUp3D(_) => Vec::new(),
            Body::Sequence(_) | Body::Residual(_) => Vec::new(),
            Body::Attention(_) | Body::QkvAttention(_) => Vec::new(),
            Body::MultiscaleAttention(_) | Body::ConvAttention(_) => Vec::new(),
        }
    }

    /// Calls `see` with the checkpoint key of every tensor of the module and of those inside it.
    pub fn for_each_parameter(&self, see: &mut dyn FnMut(String, &Parameter<W>)) {
        for (leaf, parameter) in self.parameters() {
            see(format!("{}.{leaf}", self.name), parameter);
        }
        for child in self.children() {
            child.for_each_parameter(see);
        }
    }

    /// Channels of what the module is given; 0 of one without any layer, which hands on whatever it is given.
    pub fn in_channels(&self) -> usize {
        match &self.body {
            Body::Conv2d(conv) => conv.weight.shape[1],
            Body::Linear(linear) => linear.weight.shape[1],
            Body::GroupNorm(norm) => norm.weight.shape[0],
            Body::CausalConv3d(conv) => conv.weight.shape[1],
            Body::RmsNorm(norm) => norm.gamma.shape[0],
            Body::AvgDown3D(shortcut) => shortcut.in_channels,
            Body::DupUp3D(shortcut) => shortcut.in_channels,
            Body::GroupedConv2d(conv) => conv.weight.shape[1] * conv.groups,
            Body::RmsNormOfPixels(norm) => norm.weight.shape[0],
            Body::BatchNorm2d(norm) => norm.weight.shape[0],
            Body::Sequence(_)
            | Body::Residual(_)
            | Body::Attention(_)
            | Body::QkvAttention(_)
            | Body::MultiscaleAttention(_)
            | Body::ConvAttention(_) => {
                self.children().first().map_or(0, |first| first.in_channels())
            }
        }
    }
}

impl<W> Step<W> {
    /// The modules that lie in it and in no other.
    fn modules(&self) -> Vec<&Module<W>> {
        match self {
            Self::Module(module) => vec![module],
            Self::Function(_) | Self::TimeConv(_) => Vec::new(),
            Self::Residual(residual) => residual.children().collect(),
        }
    }
}

impl<W> Residual<W> {
    fn children(&self) -> impl Iterator<Item = &Module<W>> {
        self.hidden.iter().flat_map(Step::modules).chain(self.shortcut.as_deref())
    }
}

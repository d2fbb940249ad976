//! What graphs of clips are made of beside the rest: modules over space and time. A picture is a clip of one
//! frame.

use super::parameter::Parameter;

/// `torch.nn.Conv3d` with a square kernel that looks back in time alone: zeros stand before the first frame,
/// so that of one frame the last time slice of the kernel sees values and the others see zeros. Qwen-Image 2.1's,
/// of the same name, is a `torch.nn.Conv2d` and sees one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct CausalConv3d<W = ()> {
    /// (out, in, time, kernel, kernel), or (out, in, kernel, kernel)
    pub weight: Parameter<W>,
    /// (out)
    pub bias: Parameter<W>,
    /// Zeros on each side of a frame; before the first frame there are twice as many frames of them.
    pub padding: usize,
}

impl<W> CausalConv3d<W> {
    /// Of how many frames the kernel is.
    pub fn frames(&self) -> usize {
        match self.weight.shape[..] {
            [_, _, frames, _, _] => frames,
            _ => 1,
        }
    }
}

/// `time_conv` of a sampler: a convolution over three frames of each pixel, which halves or doubles the number of
/// frames behind the first one of a clip. A picture passes as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeConv<W = ()> {
    /// diffusers' name of the module, such as `encoder.down_blocks.5.time_conv`.
    pub name: String,
    /// (out, in, 3, 1, 1), where a doubling one has twice as many outputs as inputs.
    pub weight: Parameter<W>,
    /// (out)
    pub bias: Parameter<W>,
    /// Which way it goes.
    pub sampling: Sampling,
}

/// Which way a sampler goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampling {
    /// To half the size or number.
    Down,
    /// To twice the size or number.
    Up,
}

/// `torch.nn.functional.normalize` over the channels of each pixel, times the root of their number and
/// `gamma`.
#[derive(Debug, Clone, PartialEq)]
pub struct RmsNorm<W = ()> {
    /// (C, 1, 1), or (C, 1, 1, 1) for clips
    pub gamma: Parameter<W>,
}

/// Wan 2.2's and Qwen-Image 2.1's way around a level of the encoder: blocks of values, over time and space,
/// become channels, and groups of those their mean. A clip of one frame is preceded by frames of zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AvgDown3D {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output; they divide the input's times the values of a block.
    pub out_channels: usize,
    /// Frames of a block.
    pub factor_t: usize,
    /// Side of a block.
    pub factor_s: usize,
}

impl AvgDown3D {
    /// How many values a mean is of.
    pub fn group_size(self) -> usize {
        self.in_channels * self.factor_t * self.factor_s * self.factor_s / self.out_channels
    }
}

/// Wan 2.2's and Qwen-Image 2.1's way around a level of the decoder: repeated channels become blocks of
/// values. Of the first frames of a clip the last alone is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DupUp3D {
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output; times the values of a block they are a multiple of the input's.
    pub out_channels: usize,
    /// Frames of a block.
    pub factor_t: usize,
    /// Side of a block.
    pub factor_s: usize,
}

impl DupUp3D {
    /// How often each channel is repeated.
    pub fn repeats(self) -> usize {
        self.out_channels * self.factor_t * self.factor_s * self.factor_s / self.in_channels
    }
}

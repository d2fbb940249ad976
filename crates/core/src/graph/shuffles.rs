//! What `AutoencoderDC` has beside the rest: grouped convolutions, a norm over the channels of pixels, and one
//! by statistics in the checkpoint.

use super::parameter::Parameter;

/// `torch.nn.Conv2d` whose channels are cut into groups that do not see each other, with padding that keeps
/// the size.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupedConv2d<W = ()> {
    /// (out, in / groups, kernel, kernel), kernel odd
    pub weight: Parameter<W>,
    /// (out)
    pub bias: Option<Parameter<W>>,
    /// They divide the channels of input and output.
    pub groups: usize,
}

/// diffusers' `RMSNorm` (`models/normalization.py`) over the last dimension, the channels of pixels that lie
/// one after another.
#[derive(Debug, Clone, PartialEq)]
pub struct RmsNormOfPixels<W = ()> {
    /// (C)
    pub weight: Parameter<W>,
    /// (C)
    pub bias: Parameter<W>,
    /// What is added to the mean of the squares.
    pub eps: f64,
}

/// `torch.nn.BatchNorm2d` after training: each channel by its own mean and variance over the training data.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchNorm2d<W = ()> {
    /// (C)
    pub weight: Parameter<W>,
    /// (C)
    pub bias: Parameter<W>,
    /// (C)
    pub running_mean: Parameter<W>,
    /// (C)
    pub running_var: Parameter<W>,
    /// What is added to the variance.
    pub eps: f64,
}

//! What `AutoencoderDC` has beside the rest: grouped convolutions, a norm over the channels of pixels, and
//! attention whose cost grows with the number of pixels, not with its square.

use super::module::Module;
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

impl<W> MultiscaleAttention<W> {
    /// The modules inside it, in the order in which they run.
    pub(super) fn children(&self) -> Vec<&Module<W>> {
        let Self { to_q, to_k, to_v, to_qkv_multiscale, to_out, norm_out, .. } = self;
        [to_q, to_k, to_v].into_iter().chain(to_qkv_multiscale).chain([to_out, norm_out]).collect()
    }

    /// The same with what `map` makes of each module.
    pub(super) fn try_map<V, E>(
        &self,
        mut map: impl FnMut(&Module<W>) -> Result<Module<V>, E>,
    ) -> Result<MultiscaleAttention<V>, E> {
        Ok(MultiscaleAttention {
            to_q: map(&self.to_q)?,
            to_k: map(&self.to_k)?,
            to_v: map(&self.to_v)?,
            to_qkv_multiscale: self
                .to_qkv_multiscale
                .iter()
                .map(&mut map)
                .collect::<Result<_, _>>()?,
            to_out: map(&self.to_out)?,
            norm_out: map(&self.norm_out)?,
            head_dim: self.head_dim,
        })
    }
}

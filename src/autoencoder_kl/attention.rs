//! diffusers `models/attention_processor.py`, `Attention` with `AttnProcessor2_0`.

use tch::Tensor;

use crate::config::AutoencoderKLConfig;
use crate::error::Result;

use super::layers::{GroupNorm, Linear, Module, Watch, Weights};
use super::libtorch::Attempt;

/// `Attention` of a mid block: one head as wide as the block, biased projections, a residual.
#[derive(Debug)]
pub(super) struct Attention {
    module: Module,
    group_norm: GroupNorm,
    to_q: Linear,
    to_k: Linear,
    to_v: Linear,
    /// `to_out.0`; `to_out.1` is a dropout that does nothing here.
    to_out: Linear,
}

impl Attention {
    pub fn load(weights: &Weights, config: &AutoencoderKLConfig) -> Result<Self> {
        Ok(Self {
            module: weights.module("Attention"),
            group_norm: GroupNorm::load(&weights.at("group_norm"), config.norm_num_groups)?,
            to_q: Linear::load(&weights.at("to_q"))?,
            to_k: Linear::load(&weights.at("to_k"))?,
            to_v: Linear::load(&weights.at("to_v"))?,
            to_out: Linear::load(&weights.at("to_out.0"))?,
        })
    }

    /// (N, C, H, W) to (N, C, H, W); every position attends to every other, H * W squared.
    pub fn forward(&self, xs: &Tensor, watch: Watch) -> Result<Tensor> {
        let at = || &self.module.name;
        let (n, c, h, w) = xs.size4().attempt(at)?;
        // (N, C, H * W)
        let flat = xs.f_view([n, c, h * w]).attempt(at)?;
        // (N, H * W, C), a transposed view, as diffusers hands it to the projections
        let hidden = self.group_norm.forward(&flat, watch)?.f_transpose(1, 2).attempt(at)?;
        let query = self.to_q.forward(&hidden, watch)?;
        let key = self.to_k.forward(&hidden, watch)?;
        let value = self.to_v.forward(&hidden, watch)?;
        drop(hidden);
        // (N, 1, H * W, C)
        let heads = |tensor: Tensor| {
            tensor.f_view([n, -1, 1, c]).and_then(|tensor| tensor.f_transpose(1, 2)).attempt(at)
        };
        let hidden = Tensor::f_scaled_dot_product_attention(
            &heads(query)?,
            &heads(key)?,
            &heads(value)?,
            None::<Tensor>,
            0.0,
            false,
            None,
            false,
        )
        .and_then(|tensor| tensor.f_transpose(1, 2))
        .and_then(|tensor| tensor.f_reshape([n, -1, c]))
        .attempt(at)?;
        let output = self
            .to_out
            .forward(&hidden, watch)?
            .f_transpose(-1, -2)
            .and_then(|tensor| tensor.f_reshape([n, c, h, w]))
            .and_then(|tensor| tensor.f_add(xs))
            .attempt(at)?;
        watch(&self.module, &output)?;
        Ok(output)
    }
}

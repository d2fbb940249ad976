//! diffusers `models/attention_processor.py`, `Attention` with `AttnProcessor2_0`.

use vae_fidelity_core::config::AutoencoderKLConfig;
use vae_fidelity_files::error::Result;

use super::engine::Engine;
use super::layers::{ForwardHook, GroupNorm, Linear, Module, Node, Weights, no_hook};

/// `Attention` of a mid block: one head as wide as the block, biased projections, a residual.
#[derive(Debug)]
pub(super) struct Attention<E: Engine> {
    module: Module,
    group_norm: GroupNorm<E>,
    to_q: Linear<E>,
    to_k: Linear<E>,
    to_v: Linear<E>,
    /// `to_out.0`; `to_out.1` is a dropout that does nothing here.
    to_out: Linear<E>,
}

impl<E: Engine> Attention<E> {
    pub fn load(weights: &Weights<E>, config: &AutoencoderKLConfig) -> Result<Self> {
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
    pub fn forward(
        &self,
        engine: &E,
        xs: &E::Tensor,
        hook: ForwardHook<E::Tensor>,
    ) -> Result<E::Tensor> {
        let at = &self.module.name;
        // (N, C, H * W)
        let flat = engine.flatten(xs, at)?;
        let normed = self.group_norm.forward(engine, &flat, hook)?;
        drop(flat);
        // (N, H * W, C)
        let hidden = engine.to_tokens(&normed, at)?;
        drop(normed);
        let query = self.to_q.forward(engine, &hidden, hook)?;
        let key = self.to_k.forward(engine, &hidden, hook)?;
        let value = self.to_v.forward(engine, &hidden, hook)?;
        drop(hidden);
        let hidden = engine.scaled_dot_product_attention(query, key, value, at)?;
        let hidden = self.to_out.forward(engine, &hidden, hook)?;
        // (N, C, H, W)
        let output = engine.add_residual(engine.to_image(&hidden, xs, at)?, xs, at)?;
        hook(&self.module, &output)?;
        Ok(output)
    }
}

impl<E: Engine> Node<E> for Attention<E> {
    fn module(&self) -> &Module {
        &self.module
    }

    fn children(&self) -> Vec<&dyn Node<E>> {
        vec![&self.group_norm, &self.to_q, &self.to_k, &self.to_v, &self.to_out]
    }

    fn run(&self, engine: &E, xs: E::Tensor) -> Result<E::Tensor> {
        self.forward(engine, &xs, &mut no_hook)
    }
}

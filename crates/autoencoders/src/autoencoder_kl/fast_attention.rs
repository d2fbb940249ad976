//! Attention on the fast engine.

use std::sync::Arc;

use vae_fidelity_files::error::Result;

use super::fast::Fast;
use super::pending::{Layout, Lazy, Pending};
use vae_fidelity_kernels::tensor::NhwcTensor;
use vae_fidelity_kernels::{attention, linear_attention, shuffles};

impl Fast {
    /// `torch.nn.functional.scaled_dot_product_attention` of queries, keys and values with one head.
    pub fn attend(&self, qkv: [Lazy; 3]) -> Result<Lazy> {
        let [query, key, value] = qkv.map(|xs| self.owned(xs));
        let (query, key, value) = (query?, key?, value?);
        let attend =
            |((query, key), value): ((&Arc<NhwcTensor>, &Arc<NhwcTensor>), &Arc<NhwcTensor>)| {
                attention::scaled_dot_product_attention(
                    self.threads,
                    query,
                    key,
                    value,
                    &self.workspace,
                )
            };
        let images = query.images.iter().zip(&key.images).zip(&value.images).map(attend).collect();
        Ok(Pending { layout: Layout::Tokens, ..Pending::new(images) }.into())
    }

    /// Three images as the channels of one.
    pub fn stack(&self, parts: [Lazy; 3]) -> Result<Lazy> {
        let parts = parts.map(|part| self.owned(part).map(|part| self.materialize(part)));
        let [query, key, value] = parts;
        let (query, key, value) = (query?, key?, value?);
        let images = query.images.iter().zip(&key.images).zip(&value.images);
        let stack =
            |((query, key), value): ((&Arc<NhwcTensor>, &Arc<NhwcTensor>), &Arc<NhwcTensor>)| {
                let parts = [&**query, &**key, &**value];
                shuffles::stacked(self.threads, &parts, &self.workspace.activations)
            };
        Ok(Pending::new(images.map(stack).collect()).into())
    }

    /// Linear attention over images of queries, keys and values.
    pub fn attend_at_scales(&self, scales: Vec<Lazy>, head_dim: usize) -> Result<Lazy> {
        let scales = scales.into_iter().map(|xs| Ok(self.materialize(self.owned(xs)?)));
        let scales = scales.collect::<Result<Vec<_>>>()?;
        let attend = |number: usize| {
            let parts: Vec<&NhwcTensor> = scales.iter().map(|xs| &*xs.images[number]).collect();
            let memory = &self.workspace.activations;
            linear_attention::attend(self.threads, &parts, head_dim, memory)
        };
        Ok(self.output(Pending::new((0..scales[0].images.len()).map(attend).collect())).into())
    }
}

//! The tensors that a checkpoint has to hold for a config.

use vae_fidelity_core::config::AutoencoderKLConfig;
use vae_fidelity_core::graph::Graph;

pub use vae_fidelity_core::graph::TensorSpec;

/// Every tensor that `config` asks for: names and shapes, in the order of diffusers' state dict.
pub fn expected_tensors(config: &AutoencoderKLConfig) -> Vec<TensorSpec> {
    Graph::of(config).tensors()
}

//! The tensors that a checkpoint has to hold for a config.

use vae_fidelity_core::config::VaeConfig;
use vae_fidelity_core::graph::Graph;

pub use vae_fidelity_core::graph::TensorSpec;

/// Every tensor that `config` asks for: names and shapes, in the order of diffusers' state dict.
pub fn expected_tensors(config: &VaeConfig) -> Vec<TensorSpec> {
    Graph::of(config).tensors()
}

//! The graph of an autoencoder as data: its modules under diffusers' names, with the sizes of their
//! tensors and the order in which they run.
//!
//! A class is a function that builds its [`Graph`] from a config. What is common to all follows from the
//! graph: the tensors that a checkpoint has to hold, loading, running, traces, running one module alone,
//! and how much memory a run takes.

// A module uses only those above it.
mod parameter;
mod clips;
mod shuffles;
mod module;
mod map;
mod sizes;
mod autoencoder;
mod autoencoder_kl;
mod autoencoder_kl_flux2;
mod autoencoder_tiny;
mod asymmetric_autoencoder_kl;
mod wan_names;
mod autoencoder_kl_wan;
mod autoencoder_dc;
mod autoencoder_kl_hunyuan_image;
#[cfg(test)]
mod state_dicts;

pub use autoencoder::{Graph, TensorSpec};
pub use clips::{AvgDown3D, CausalConv3d, DupUp3D, RmsNorm, Sampling, TimeConv};
pub use map::Load;
pub use module::{
    Attention, Body, Conv2d, ConvAttention, Elementwise, Function, GroupNorm, Linear, Module,
    MultiscaleAttention, Order, QkvAttention, Residual, Step,
};
pub use parameter::Parameter;
pub use shuffles::{BatchNorm2d, GroupedConv2d, RmsNormOfPixels};

use crate::config::VaeConfig;

impl Graph {
    /// The graph of the class that `config` is of.
    pub fn of(config: &VaeConfig) -> Self {
        match config {
            VaeConfig::AutoencoderKL(config) => autoencoder_kl::graph(config),
            VaeConfig::AutoencoderKLFlux2(config) => autoencoder_kl_flux2::graph(config),
            VaeConfig::AutoencoderTiny(config) => autoencoder_tiny::graph(config),
            VaeConfig::AsymmetricAutoencoderKL(config) => asymmetric_autoencoder_kl::graph(config),
            VaeConfig::AutoencoderKLWan(config) => {
                autoencoder_kl_wan::graph(config, wan_names::WAN)
            }
            VaeConfig::AutoencoderKLQwenImage(config) => {
                autoencoder_kl_wan::graph(&config.as_wan(), wan_names::QWEN_IMAGE)
            }
            VaeConfig::AutoencoderDC(config) => autoencoder_dc::graph(config),
            VaeConfig::AutoencoderKLHunyuanImage(config) => {
                autoencoder_kl_hunyuan_image::graph(config)
            }
            VaeConfig::AutoencoderKLQwenImage21(config) => {
                autoencoder_kl_wan::graph(&config.as_wan(), wan_names::QWEN_IMAGE_21)
            }
        }
    }
}

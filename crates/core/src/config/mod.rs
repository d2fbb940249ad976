//! `config.json` of an autoencoder, with diffusers' defaults made visible.

// A module uses only those above it.
mod class;
mod autoencoder_kl;
mod fields;
mod parse;
mod autoencoder_kl_flux2;
mod autoencoder_tiny;
mod asymmetric_autoencoder_kl;
mod autoencoder_kl_wan;
mod autoencoder_kl_qwen_image;
mod autoencoder_kl_qwen_image_21;
mod autoencoder_dc;
mod autoencoder_kl_hunyuan_image;
mod vae_config;
mod clips;
mod picture_sizes;
mod latents_scaling;
mod norm_num_groups;
mod family;
mod published;
mod published_wan;
mod published_dc;
mod published_hunyuan_image;
mod quality;

pub use asymmetric_autoencoder_kl::AsymmetricAutoencoderKLConfig;
pub use autoencoder_dc::AutoencoderDCConfig;
pub use autoencoder_dc::BATCH_NORM;
pub(crate) use autoencoder_dc::EFFICIENT_VIT_BLOCK;
pub use autoencoder_kl::{Activation, AutoencoderKLConfig, SampleSize};
pub use autoencoder_kl_flux2::AutoencoderKLFlux2Config;
pub use autoencoder_kl_hunyuan_image::AutoencoderKLHunyuanImageConfig;
pub use autoencoder_kl_qwen_image::AutoencoderKLQwenImageConfig;
pub use autoencoder_kl_qwen_image_21::AutoencoderKLQwenImage21Config;
pub use autoencoder_kl_wan::AutoencoderKLWanConfig;
pub use autoencoder_tiny::AutoencoderTinyConfig;
pub use class::Class;
pub use clips::FRAMES_OF_A_LATENT;
pub use family::Family;
pub use quality::PublishedQuality;
pub use vae_config::VaeConfig;

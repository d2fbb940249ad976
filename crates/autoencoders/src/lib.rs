//! Autoencoders of latent diffusion, loaded from a checkpoint and run: diffusers' `AutoencoderKL` on
//! kernels of this project, and with the feature `tch` on libtorch.
//!
//! Begin with [`Engine::execution`], which settles device and dtype, and [`Execution::load`], which gives
//! a [`Vae`](vae_fidelity_core::Vae); or with [`FastAutoencoderKL`] itself.

pub mod autoencoder_kl;
pub mod engine;

#[cfg(feature = "tch")]
pub use autoencoder_kl::AutoencoderKL;
pub use autoencoder_kl::FastAutoencoderKL;
pub use engine::{Engine, Execution};

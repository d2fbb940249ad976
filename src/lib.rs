//! Says whether a latent-diffusion VAE works, and when it does not, what is wrong.

// What the crates below this one offer, under one roof.
pub use vae_fidelity_autoencoders::{autoencoder_kl, engine};
pub use vae_fidelity_checkpoint as checkpoint;
pub use vae_fidelity_core::{
    config, dtype, image_processor, metrics, random, recipe, tensor_file, tiling, trace, vae,
};
pub use vae_fidelity_diagnosis as diagnosis;
pub use vae_fidelity_files::{error, input, output};
pub use vae_fidelity_harness as golden;
pub use vae_fidelity_pixels as pixels;

// In the order in which data flows: a module uses only those above it.
pub mod pictures;
pub mod verdict;
pub mod baseline;
pub mod report;
pub mod forecast;
pub mod pipeline;
pub mod compare;
#[cfg(feature = "cli")]
pub mod cli;

#[cfg(feature = "tch")]
pub use autoencoder_kl::AutoencoderKL;
pub use autoencoder_kl::FastAutoencoderKL;
pub use checkpoint::{Checkpoint, Source};
pub use config::AutoencoderKLConfig;
pub use dtype::Dtype;
pub use engine::{Engine, Execution};
pub use error::{Error, ErrorKind, Result};
pub use pipeline::Pipeline;
pub use pixels::Rgb8;
pub use vae::{Encoded, RoundTrip, Vae, round_trip};
pub use vae_fidelity_core::Cancellation;

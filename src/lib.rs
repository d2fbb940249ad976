//! Says whether a latent-diffusion VAE works, and when it does not, what is wrong.

// In the order in which data flows: a module uses only those above it.
pub mod error;
pub mod dtype;
pub mod random;
mod input;
pub mod output;
pub mod pixels;
pub mod image_processor;
pub mod config;
pub mod recipe;
pub mod trace;
pub mod tiling;
pub mod vae;
pub mod checkpoint;
pub mod autoencoder_kl;
pub mod engine;
pub mod tensor_file;
pub mod metrics;
pub mod pictures;
pub mod diagnosis;
pub mod verdict;
pub mod baseline;
pub mod golden;
pub mod report;
pub mod forecast;
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
pub use pixels::Rgb8;
pub use vae::{Encoded, RoundTrip, Vae, round_trip};

//! Says whether a latent-diffusion VAE works, and when it does not, what is wrong.

pub mod error;

pub mod output;

pub mod dtype;
pub mod pixels;

pub mod config;
pub mod image_processor;
pub mod recipe;
pub mod trace;
pub mod vae;

pub mod tensor_file;

pub mod diagnosis;
pub mod metrics;
pub mod verdict;

pub mod report;

pub use config::AutoencoderKLConfig;
pub use dtype::Dtype;
pub use error::{Error, ErrorKind, Result};
pub use pixels::Rgb8;
pub use vae::{Encoded, RoundTrip, Vae, round_trip};

//! Says whether a latent-diffusion VAE works, and when it does not, what is wrong.

pub mod error;

pub mod dtype;
pub mod output;
pub mod pixels;

pub use dtype::Dtype;
pub use error::{Error, ErrorKind, Result};
pub use pixels::Rgb8;

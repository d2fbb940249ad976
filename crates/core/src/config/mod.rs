//! `config.json` of an `AutoencoderKL`, with diffusers' defaults made visible.

// A module uses only those above it.
mod autoencoder_kl;
mod parse;
mod family;
mod published;
mod quality;

pub use autoencoder_kl::{Activation, AutoencoderKLConfig, SampleSize};
pub use family::Family;
pub use quality::PublishedQuality;

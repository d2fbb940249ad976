//! What every part of `vae-fidelity` speaks of: the config of an `AutoencoderKL` and the published
//! families, its graph as data, the [`Vae`] trait that an implementation offers, traces of its layers, tiling, torch's
//! random numbers, diffusers' image processor, and metrics of pictures and tensors.
//!
//! Tensors are [`ndarray`]'s, in NCHW and f32 whatever the arithmetic; a sample lies in [-1, 1].

// In the order in which data flows: a module uses only those above it.
pub mod cancellation;
mod beside;
pub mod dtype;
pub mod element_type;
pub mod random;
pub mod json_problem;
pub mod config;
pub mod image_processor;
pub mod scaling;
pub mod graph;
pub mod recipe;
pub mod trace;
pub mod tiling;
pub mod vae;
mod npy_header;
pub mod safetensors_header;
pub mod tensor_file;
pub mod stored_tensor;
pub mod metrics;

pub use cancellation::Cancellation;
pub use config::{AutoencoderKLConfig, VaeConfig};
pub use dtype::Dtype;
pub use element_type::ElementType;
pub use scaling::Scaling;
pub use stored_tensor::StoredTensor;
pub use vae::{Encoded, RoundTrip, Vae, round_trip};

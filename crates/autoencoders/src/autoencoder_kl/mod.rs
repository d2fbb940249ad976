//! diffusers' autoencoders, once as a model and twice as an engine that computes it.
//!
//! The reference engine runs the same operations in the same order on libtorch, so that on one
//! machine its latents and pixels equal the reference script's to the bit. The fast engine computes the
//! same sums in another order, and on the CPU needs no libtorch; on CUDA it runs libtorch's convolutions
//! with kernels of this crate between them.

mod engine;
mod feat_cache;
mod forward;
mod model;
mod alone;
mod clip;
mod deterministic;
mod watch;
mod device;
#[cfg(feature = "tch")]
mod libtorch;
#[cfg(feature = "tch")]
mod libtorch_device;
#[cfg(feature = "tch")]
mod diagonal_gaussian;
#[cfg(feature = "tch")]
mod clips;
#[cfg(feature = "tch")]
mod shuffles;
#[cfg(feature = "tch")]
mod reference;
#[cfg(feature = "tch")]
mod cuda;
#[cfg(feature = "tch")]
mod libtorch_model;
#[cfg(feature = "tch")]
mod reference_vae;
#[cfg(feature = "tch")]
mod device_tensor;
#[cfg(feature = "tch")]
mod rounded;
mod pending;
mod fast;
mod fast_convolutions;
mod fast_attention;
mod fast_operations;
mod footprint;
mod fast_vae;

pub(crate) use deterministic::no_posterior;
pub use device::{Device, DeviceChoice};
#[cfg(feature = "tch")]
pub use device_tensor::DeviceTensor;
#[cfg(feature = "tch")]
pub use diagonal_gaussian::DiagonalGaussian;
pub use fast_vae::FastAutoencoderKL;
pub(crate) use footprint::check_picture_fits;
#[cfg(feature = "tch")]
pub use libtorch_device::{noise, pick_device_and_dtype, set_threads};
#[cfg(feature = "tch")]
pub use reference_vae::AutoencoderKL;
#[cfg(feature = "tch")]
pub use rounded::{RoundedTrip, rounded_trip};

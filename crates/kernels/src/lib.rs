//! Convolution, group norm and scaled dot-product attention in f32 on the CPU: the layers of a
//! latent-diffusion VAE, several times as fast as libtorch runs them and in less memory.
//!
//! - [`winograd`]: 3x3 convolutions of stride 1 by Winograd's minimal filtering, also after nearest-neighbor
//!   upsampling by 2, and with the sum of a residual block.
//! - [`direct`]: all other convolutions, and linear layers.
//! - [`norm`]: group norm and activation functions, which the next convolution applies while it reads its
//!   input.
//! - [`extreme`]: the largest absolute value, for what half precision would lose.
//! - [`attention`]: one head, without storing the scores.
//! - [`linear_attention`]: attention without a softmax, in time that grows as the pixels do.
//! - [`grouped`]: convolutions in groups of channels, such as depthwise ones.
//! - [`clips`]: norms over channels, and shortcuts that exchange channels for pixels.
//! - [`shuffles`]: channels moved to pixels and back, their means, repeats and gates.
//!
//! **Layout.** An activation is one image, NHWC with N = 1: the channels of a pixel are contiguous and
//! padded with zeros to a multiple of 16, the pitch ([`NhwcTensor`](tensor::NhwcTensor)). Weights are as
//! PyTorch has them, (outputs, inputs, height, width), and are packed for each call.
//!
//! **Threads and instructions.** [`Threads`](threads::Threads) says how many threads a call uses (it
//! spawns them) and whether it uses the widest vectors that the processor has, detected at run time, or
//! plain Rust. Neither changes a bit of a result: every sum has one order, products are added in one
//! rounding (in software where the processor cannot), and `exp` is this crate's own.
//!
//! **Memory.** Tensors come from a [`Memory`](memory::Memory), which reuses what earlier layers have
//! freed and may be backed by a file under a [`Limit`](limit::Limit) for the process.
//!
//! A residual block's first half, `conv(silu(group_norm(x)))`, in two calls:
//!
//! ```
//! use vae_fidelity_core::config::Activation;
//! use vae_fidelity_kernels::memory::Workspace;
//! use vae_fidelity_kernels::norm::{Normalize, group_norm};
//! use vae_fidelity_kernels::tensor::NhwcTensor;
//! use vae_fidelity_kernels::threads::Threads;
//! use vae_fidelity_kernels::winograd::{Conv2dParams, convolve};
//!
//! let (threads, workspace) = (Threads::available(), Workspace::default());
//! let x = vec![0.5; 4 * 8 * 8];
//! let x = NhwcTensor::from_chw(&workspace.activations, 8, 8, 4, &x);
//! let normalize = Normalize {
//!     activation: Some(Activation::Silu),
//!     ..group_norm(threads, &x, 2, &[1.0; 4], &[0.0; 4], 1e-6)
//! };
//! let params = Conv2dParams {
//!     weight: &[0.1; 2 * 4 * 3 * 3],
//!     bias: &[1.0, -1.0],
//!     inputs: 4,
//!     outputs: 2,
//!     normalize: Some(&normalize),
//!     upsample: false,
//! };
//! let y = convolve(threads, params, &x, None, &workspace);
//! // A constant image has no variance: what remains is the bias.
//! assert_eq!((y.height, y.width, y.channels), (8, 8, 2));
//! assert!((y.values()[0] - 1.0).abs() < 1e-5);
//! ```

// A module uses only those above it.
mod exp;
mod vectors;
mod product;
mod sums;
pub mod limit;
pub mod memory;
pub mod threads;
pub mod tensor;
pub mod norm;
pub mod clips;
pub mod grouped;
pub mod linear_attention;
pub mod shuffles;
pub mod extreme;
pub mod attention;
pub mod direct;
pub mod winograd;

#[cfg(test)]
mod literal;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod checksums;

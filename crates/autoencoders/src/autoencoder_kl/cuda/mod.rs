//! The fast engine on GPUs: libtorch's convolutions and attention with the channels of a pixel side by
//! side, and between them as few passes over memory as group norm takes.
//!
//! A convolution's bias waits until something reads its output; group norm is a scale and a shift for
//! each channel; the sums of a block's output are taken while it is written. Where the kernels of
//! `kernels.cu` cannot be had, on the CPU among others, libtorch computes the same.

mod bindings;
mod deferred;
mod engine;
mod kernels;
mod nvrtc;
mod operations;
mod passes;

#[cfg(cuda_graphs)]
pub(super) use bindings::peak_bytes;
pub(super) use engine::Fused;
pub(super) use passes::Passes;

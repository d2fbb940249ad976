//! The engines: against the goldens, and against each other.

mod clips;
mod fast;
#[cfg(feature = "tch")]
mod parity;
mod plain_kernels;
#[cfg(feature = "tch")]
mod posterior;
mod random;
mod rounding;
mod tiling;

#[cfg(feature = "tch")]
mod kernels;
#[cfg(feature = "tch")]
mod samples;

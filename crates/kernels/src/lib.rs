//! Fast convolution, group norm and attention on the CPU, for readers of kernels; readers of the
//! model need not come here.

#![allow(missing_docs, reason = "fields are the terms of the formulas in their struct's words")]

pub mod attention;
pub mod direct;
pub mod image;
#[cfg(test)]
mod literal;
pub mod limit;
pub mod memory;
pub mod norm;
pub mod product;
pub mod threads;
pub mod transform;
pub mod vectors;
pub mod winograd;
mod winograd_block;
mod winograd_weights;

#[cfg(test)]
mod tests;

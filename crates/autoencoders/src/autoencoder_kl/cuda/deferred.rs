//! A tensor on a GPU whose last operations wait for whoever reads it.

use std::cell::RefCell;

use tch::Tensor;

use super::operations::{Normalize, Sums};
use crate::autoencoder_kl::pending::Layout;

/// A tensor and the operations on it that are pending.
#[derive(Debug)]
pub(in crate::autoencoder_kl) struct Deferred {
    pub(super) state: RefCell<State>,
    pub(super) layout: Layout,
}

/// The tensor as it lies, and what is to be done to it.
#[derive(Debug)]
pub(super) struct State {
    /// (N, H, W, C), contiguous
    pub hidden: Tensor,
    /// (C) in f32, of the convolution that made `hidden`
    pub bias: Option<Tensor>,
    /// Of `hidden` without `bias`.
    pub sums: Sums,
    /// In place of `bias`.
    pub normalize: Option<Normalize>,
}

/// A weight in the engine's dtype, channels last; of vectors (norms and biases) also f32.
#[derive(Debug)]
pub(in crate::autoencoder_kl) struct Weight {
    pub(super) tensor: Tensor,
    pub(super) f32: Option<Tensor>,
}

impl Deferred {
    /// The same values in another order for diffusers: here pixels always lie one after another.
    pub(super) fn laid_out_as(&self, layout: Layout) -> Self {
        Self { state: RefCell::new(self.state.borrow().alias()), layout }
    }

    pub(super) fn ready(hidden: Tensor, layout: Layout) -> Self {
        let state = State { hidden, bias: None, sums: Sums::Later, normalize: None };
        Self { state: RefCell::new(state), layout }
    }
}

impl State {
    /// The same tensors, once more.
    pub fn alias(&self) -> Self {
        Self {
            hidden: self.hidden.shallow_clone(),
            bias: self.bias.as_ref().map(Tensor::shallow_clone),
            sums: self.sums.alias(),
            normalize: self.normalize.as_ref().map(Normalize::alias),
        }
    }
}

//! diffusers' `feat_cache`: what convolutions over the frames of a clip look back at.

use std::collections::HashMap;

use vae_fidelity_files::error::Result;

use super::engine::Engine;

/// What the modules of one half have seen of a clip so far.
#[derive(Debug)]
pub(super) struct FeatCache<T> {
    /// By the name of the module: the last frames that it was given.
    before: HashMap<String, T>,
    /// Whether the first frame is given.
    pub first_chunk: bool,
}

impl<T> FeatCache<T> {
    pub fn new() -> Self {
        Self { before: HashMap::new(), first_chunk: true }
    }

    /// What module `at` was given before.
    pub fn before(&self, at: &str) -> Option<&T> {
        self.before.get(at)
    }

    /// What module `at` will look back at after `xs`.
    pub fn kept<E: Engine<Tensor = T>>(&self, engine: &E, at: &str, xs: &T) -> Result<T> {
        engine.last_frames(self.before(at), xs)
    }

    pub fn keep(&mut self, at: &str, frames: T) {
        self.before.insert(at.to_owned(), frames);
    }
}

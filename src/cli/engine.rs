//! `--engine`, as the user types it.

use std::fmt;

use crate::Engine;
use clap::ValueEnum;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EngineChoice {
    /// diffusers' operations in diffusers' order, on libtorch
    Reference,
    /// Several times as fast and in less memory, rounding otherwise; on the CPU without libtorch,
    /// where f16 and bf16 are rounded to after each layer; on CUDA in f16 or bf16
    Fast,
}

impl Default for EngineChoice {
    fn default() -> Self {
        match Engine::default() {
            Engine::Reference => Self::Reference,
            Engine::Fast => Self::Fast,
        }
    }
}

impl fmt::Display for EngineChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.engine().fmt(f)
    }
}

impl EngineChoice {
    pub fn engine(self) -> Engine {
        match self {
            Self::Reference => Engine::Reference,
            Self::Fast => Engine::Fast,
        }
    }
}

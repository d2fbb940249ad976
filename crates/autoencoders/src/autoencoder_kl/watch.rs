//! Which layers came near to what f16 holds, in the latest run of each half.

use std::sync::{Mutex, PoisonError};

use vae_fidelity_core::trace::{Extreme, Stage};
use vae_fidelity_files::error::Result;

/// Filled while a model runs, behind a shared reference.
#[derive(Debug, Default)]
pub(super) struct Watch {
    encode: Mutex<Vec<Extreme>>,
    decode: Mutex<Vec<Extreme>>,
}

impl Watch {
    fn of(&self, stage: Stage) -> &Mutex<Vec<Extreme>> {
        match stage {
            Stage::Encode => &self.encode,
            Stage::Decode => &self.decode,
        }
    }

    /// A new run of `stage` begins, of one part or more.
    pub fn begin(&self, stage: Stage) {
        self.of(stage).lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Runs one part, which adds to what it is given.
    pub fn part<T>(
        &self,
        stage: Stage,
        run: impl FnOnce(&mut Vec<Extreme>) -> Result<T>,
    ) -> Result<T> {
        let mut seen = Vec::new();
        let output = run(&mut seen)?;
        let mut known = self.of(stage).lock().unwrap_or_else(PoisonError::into_inner);
        Extreme::merge(&mut known, seen);
        Ok(output)
    }

    /// What the latest run of `stage` showed.
    pub fn seen(&self, stage: Stage) -> Vec<Extreme> {
        self.of(stage).lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

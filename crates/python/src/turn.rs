//! One call at a time of a pipeline, and its end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use vae_fidelity::{Cancellation, Error, ErrorKind, Result};

/// A pipeline of the library, for one call at a time.
pub struct Loaded {
    pipeline: Mutex<vae_fidelity::Pipeline>,
    cancellation: Cancellation,
}

impl Loaded {
    /// `pipeline`, which ends what it computes by `cancellation`.
    pub fn new(pipeline: vae_fidelity::Pipeline, cancellation: Cancellation) -> Self {
        Self { pipeline: Mutex::new(pipeline), cancellation }
    }
}

/// One call's turn with a pipeline, which only that call may cancel.
pub struct Turn {
    loaded: Arc<Loaded>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    running: AtomicBool,
    cancelled: AtomicBool,
}

impl Turn {
    pub fn new(loaded: Arc<Loaded>) -> Self {
        Self { loaded, state: Arc::default() }
    }

    /// Ends this call: at once where it runs, else when its turn comes.
    pub fn cancel(&self) -> impl Fn() + Send + use<> {
        let (state, cancellation) = (self.state.clone(), self.loaded.cancellation.clone());
        move || {
            state.cancelled.store(true, Ordering::SeqCst);
            if state.running.load(Ordering::SeqCst) {
                cancellation.cancel();
            }
        }
    }

    pub fn run<T>(&self, work: impl FnOnce(&vae_fidelity::Pipeline) -> Result<T>) -> Result<T> {
        // Where a call panicked, what it computed is lost with it, and the weights are as they were.
        let pipeline = self.loaded.pipeline.lock().unwrap_or_else(PoisonError::into_inner);
        self.loaded.cancellation.reset();
        self.state.running.store(true, Ordering::SeqCst);
        if self.state.cancelled.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Cancelled, "the call", "was ended", "call it again"));
        }
        let done = work(&pipeline);
        self.state.running.store(false, Ordering::SeqCst);
        done
    }
}

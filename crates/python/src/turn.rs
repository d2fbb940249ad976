//! One call at a time of a pipeline, and its end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
        let running = self.begin()?;
        work(&running.pipeline)
    }

    /// Waits for the turn.
    pub fn begin(&self) -> Result<Running<'_>> {
        // Where a call panicked, what it computed is lost with it, and the weights are as they were.
        let pipeline = self.loaded.pipeline.lock().unwrap_or_else(PoisonError::into_inner);
        self.loaded.cancellation.reset();
        self.state.running.store(true, Ordering::SeqCst);
        let running = Running { pipeline, state: &self.state };
        if self.state.cancelled.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Cancelled, "the call", "was ended", "call it again"));
        }
        Ok(running)
    }

    /// Whether both are of one pipeline.
    pub fn is_of_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.loaded, &other.loaded)
    }

    /// Begins all of `turns`, which are of as many pipelines: in one order for every caller, so that no two wait for
    /// each other.
    pub fn begin_all(turns: &[Self]) -> Result<Vec<Running<'_>>> {
        let mut order: Vec<usize> = (0..turns.len()).collect();
        order.sort_by_key(|at| Arc::as_ptr(&turns[*at].loaded).addr());
        let mut running = order
            .into_iter()
            .map(|at| Ok((at, turns[at].begin()?)))
            .collect::<Result<Vec<(usize, Running<'_>)>>>()?;
        running.sort_by_key(|(at, _)| *at);
        Ok(running.into_iter().map(|(_, running)| running).collect())
    }
}

/// A pipeline while a call has its turn with it.
pub struct Running<'a> {
    pub pipeline: MutexGuard<'a, vae_fidelity::Pipeline>,
    state: &'a State,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.state.running.store(false, Ordering::SeqCst);
    }
}

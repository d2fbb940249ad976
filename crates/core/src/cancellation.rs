//! Ending a long call from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use vae_fidelity_files::error::{Error, ErrorKind, Result};

/// A switch that ends what is being computed: its clones are one switch.
///
/// ```
/// use vae_fidelity_core::Cancellation;
/// let cancellation = Cancellation::default();
/// assert!(cancellation.check().is_ok());
/// cancellation.clone().cancel();
/// assert!(cancellation.check().is_err());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Cancellation(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    cancelled: AtomicBool,
    checks: AtomicUsize,
}

impl Cancellation {
    /// From now on whatever has this switch ends with [`ErrorKind::Cancelled`], the next time that it
    /// comes to a layer.
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Relaxed);
    }

    /// Calls go on as if nothing had been cancelled.
    pub fn reset(&self) {
        self.0.cancelled.store(false, Ordering::Relaxed);
    }

    /// How often [`Self::check`] was called: once for each layer that began, which shows another thread
    /// how far a call has come.
    pub fn checks(&self) -> usize {
        self.0.checks.load(Ordering::Relaxed)
    }

    /// # Errors
    ///
    /// With [`ErrorKind::Cancelled`] after [`Self::cancel`].
    pub fn check(&self) -> Result<()> {
        self.0.checks.fetch_add(1, Ordering::Relaxed);
        match self.0.cancelled.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(Error::new(
                ErrorKind::Cancelled,
                "the run",
                "was cancelled before its end",
                "run it again",
            )),
        }
    }
}

//! Ending a long call from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
pub struct Cancellation(Arc<AtomicBool>);

impl Cancellation {
    /// From now on whatever has this switch ends with [`ErrorKind::Cancelled`], the next time that it
    /// comes to a layer.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Calls go on as if nothing had been cancelled.
    pub fn reset(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// # Errors
    ///
    /// With [`ErrorKind::Cancelled`] after [`Self::cancel`].
    pub fn check(&self) -> Result<()> {
        match self.0.load(Ordering::Relaxed) {
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

//! libtorch as the whole suite uses it: a process has one number of threads and one generator of it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use vae_fidelity::autoencoder_kl::set_threads;

/// The harness runs a test on every processor already, and pictures this small gain nothing from more.
/// Every test that loads a model of libtorch calls it, so that none depends on which ran before.
pub fn one_thread() {
    set_threads(1);
}

/// Held by a test that seeds the generator: another one would draw from it in between.
pub fn generator() -> MutexGuard<'static, ()> {
    static GENERATOR: Mutex<()> = Mutex::new(());
    GENERATOR.lock().unwrap_or_else(PoisonError::into_inner)
}

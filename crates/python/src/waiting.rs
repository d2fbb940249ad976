//! Long work on a thread of its own, while Python's thread waits for it, for Ctrl-C, and for progress.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::Builder;
use std::time::Duration;

use pyo3::prelude::*;
use vae_fidelity::{Error, ErrorKind, Result};

use super::errors;

/// How often Python is asked whether a signal came.
const BETWEEN_SIGNALS: Duration = Duration::from_millis(50);

/// What the working thread sends.
enum Told<T> {
    Step(String),
    Done(Result<T>),
}

/// What `work` returns. The interpreter is free meanwhile. A signal's exception, such as
/// `KeyboardInterrupt`, is raised at once; the work is left to its end, which nobody sees.
pub fn until_done<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> PyResult<T> {
    with_progress(py, None, || (), |_| work())
}

/// The same; `progress` is called with the name of each step that `work` tells. What a signal or the
/// callback raises goes to the caller, and `cancel` is called, which should end the work.
pub fn with_progress<T: Send + 'static>(
    py: Python<'_>,
    progress: Option<Py<PyAny>>,
    cancel: impl Fn() + Send,
    work: impl FnOnce(&(dyn Fn(String) + Sync)) -> Result<T> + Send + 'static,
) -> PyResult<T> {
    let (tell, told) = channel();
    let worker = move || {
        // Who no longer listens has been interrupted.
        let step = |name| drop(tell.send(Told::Step(name)));
        let done = work(&step);
        let _ = tell.send(Told::Done(done));
    };
    let started = Builder::new().name("vae_fidelity".to_owned()).spawn(worker);
    started.map_err(|error| errors::raised(py, &no_thread(&error)))?;
    let done = py.detach(move || {
        let done = listen(&told, progress.as_ref());
        if done.is_err() {
            cancel();
        }
        done
    })?;
    match done {
        Some(result) => result.map_err(|error| errors::raised(py, &error)),
        None => Err(errors::internal(py)),
    }
}

/// Waits for the result; `None` where the worker panicked. Fails with what a signal or the callback
/// raises.
fn listen<T>(
    told: &Receiver<Told<T>>,
    progress: Option<&Py<PyAny>>,
) -> PyResult<Option<Result<T>>> {
    loop {
        let step = match told.recv_timeout(BETWEEN_SIGNALS) {
            Ok(Told::Done(result)) => return Ok(Some(result)),
            Ok(Told::Step(step)) => Some(step),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
        };
        Python::attach(|py| {
            py.check_signals()?;
            match (progress, step) {
                (Some(progress), Some(step)) => progress.call1(py, (step,)).map(drop),
                _ => Ok(()),
            }
        })?;
    }
}

fn no_thread(error: &std::io::Error) -> Error {
    Error::new(
        ErrorKind::Memory,
        "a thread",
        format!("the system gives none: {error}"),
        "end other programs, or give the process more memory",
    )
}

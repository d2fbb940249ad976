//! Errors as Python's exceptions.

use pyo3::prelude::*;
use vae_fidelity::diagnosis::Finding;
use vae_fidelity::{Error, ErrorKind};

/// `error` as the exception that the package defines for its kind.
pub fn raised(py: Python<'_>, error: &Error) -> PyErr {
    raised_with(py, error, &[])
}

/// The same, with what the checkpoint says where it could not be loaded.
pub fn raised_with(py: Python<'_>, error: &Error, findings: &[Finding]) -> PyErr {
    let findings = serde_json::to_string(findings).unwrap_or_else(|_| "[]".to_owned());
    let about = (error.kind().code(), error.subject(), error.problem(), error.next(), findings);
    exception(
        py,
        if error.kind() == ErrorKind::Memory { "OutOfMemory" } else { "VaeFidelityError" },
        about,
    )
}

/// A bug of this project, which did not become an error by itself.
pub fn internal(py: Python<'_>) -> PyErr {
    let next = "please report it to the authors with the call that shows it";
    let findings = "[]".to_owned();
    exception(
        py,
        "VaeFidelityError",
        ("internal", "vae_fidelity", "internal error", next, findings),
    )
}

fn exception(py: Python<'_>, class: &str, about: (&str, &str, &str, &str, String)) -> PyErr {
    let made =
        py.import("vae_fidelity._errors").and_then(|module| module.getattr(class)?.call1(about));
    made.map_or_else(|error| error, PyErr::from_value)
}

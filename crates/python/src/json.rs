//! Reports as text for Python.

use serde::Serialize;
use vae_fidelity::{Error, ErrorKind, Result};

/// JSON of one report, as `--json` prints it.
pub fn json(report: &impl Serialize) -> Result<String> {
    serde_json::to_string(report).map_err(|error| {
        Error::new(ErrorKind::Output, "the report", error, "please report it to the authors")
    })
}

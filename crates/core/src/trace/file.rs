//! Traces in files: a JSON object with a list of modules for each stage.

use std::collections::HashSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::activation::{Stage, Trace};
use crate::json_problem;
use vae_fidelity_files::error::{Error, Result};
use vae_fidelity_files::input::{MAX_TRACE_BYTES, read_bytes};

const SCHEMA_VERSION: u32 = 1;

/// A trace of both halves of a VAE, as golden cases keep it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceFile {
    schema_version: u32,
    /// Modules of the encoder; empty where only the decoder was traced.
    #[serde(default)]
    pub encode: Trace,
    /// Modules of the decoder; empty where only the encoder was traced.
    #[serde(default)]
    pub decode: Trace,
}

/// What would make a comparison say something else than the file does.
fn check(trace: &Trace) -> std::result::Result<(), String> {
    let mut names = HashSet::new();
    for activation in trace {
        let module = &activation.module;
        if !names.insert(module) {
            return Err(format!("names {module:?} twice"));
        }
        let hash = activation.sha256.as_deref();
        if hash.is_some_and(|hash| hash.len() != 64 || !hash.bytes().all(|c| c.is_ascii_hexdigit()))
        {
            return Err(format!("{module}: sha256: expected 64 hexadecimal digits"));
        }
    }
    Ok(())
}

impl TraceFile {
    /// Both stages of one trip.
    pub fn new(encode: Trace, decode: Trace) -> Self {
        Self { schema_version: SCHEMA_VERSION, encode, decode }
    }

    /// Reads `path`.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be read, is no trace, has another schema version, has no module or
    /// one twice, or has an invalid hash.
    pub fn read(path: &Path) -> Result<Self> {
        let next = "write one with `save_trace`, or as golden/README.md describes it";
        let broken = |problem: String| Error::tensor(path.display(), problem, next);
        let bytes = read_bytes(path, MAX_TRACE_BYTES).map_err(broken)?;
        let trace: Self = serde_json::from_slice(&bytes)
            .map_err(|error| broken(format!("is not a trace: {}", json_problem::of(&error))))?;
        if trace.schema_version != SCHEMA_VERSION {
            let found = trace.schema_version;
            return Err(broken(format!("expected schema_version {SCHEMA_VERSION}, found {found}")));
        }
        if trace.encode.is_empty() && trace.decode.is_empty() {
            return Err(broken("names no module".to_owned()));
        }
        for stage in [&trace.encode, &trace.decode] {
            check(stage).map_err(broken)?;
        }
        Ok(trace)
    }

    /// The modules of `stage`.
    pub fn stage(&self, stage: Stage) -> &Trace {
        match stage {
            Stage::Encode => &self.encode,
            Stage::Decode => &self.decode,
        }
    }

    /// The bytes of a file that [`TraceFile::read`] reads.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings, numbers and lists always serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

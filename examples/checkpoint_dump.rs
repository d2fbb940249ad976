//! Opens checkpoints for `vae_fidelity_tools.conformance.checkpoints` and `vae_fidelity_tools.conformance.hub`.
//!
//! Reads one JSON object a line from stdin, `{"repo": SOURCE, "subfolder", "revision", "variant",
//! "family", "config", "key"}`, and answers each with one on stdout: config, family, notes, and dtype, shape and
//! SHA-256 of each tensor's bytes, or the error.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use vae_fidelity::checkpoint::{OpenOptions, expected_tensors};
use vae_fidelity::config::Family;
use vae_fidelity::{Checkpoint, Result, Source};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Job {
    repo: String,
    subfolder: Option<String>,
    revision: Option<String>,
    variant: Option<String>,
    family: Option<String>,
    config: Option<PathBuf>,
    key: Option<String>,
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let job: Job = serde_json::from_str(&line?)?;
        let family = job.family.as_deref().map(|name| name.parse::<Family>()).transpose()?;
        let answer = Source::parse_at(&job.repo, job.subfolder.as_deref(), job.revision.as_deref())
            .and_then(|source| {
                let Job { variant, config, key, .. } = job;
                let asked = OpenOptions { config, family, variant, key, ..OpenOptions::default() };
                answer(&source, &asked)
            });
        let answer = answer.unwrap_or_else(
            |error| json!({"code": error.kind().code(), "error": error.to_string(), "next": error.next()}),
        );
        writeln!(out, "{answer}")?;
    }
    Ok(())
}

fn answer(source: &Source, options: &OpenOptions) -> Result<Value> {
    let checkpoint = Checkpoint::open_with(source, options)?;
    let mut tensors = BTreeMap::new();
    for spec in expected_tensors(checkpoint.config()) {
        let stored = checkpoint.tensor(&spec.name)?;
        let hash: String =
            Sha256::digest(&stored.data).iter().map(|byte| format!("{byte:02x}")).collect();
        tensors.insert(spec.name, json!([stored.dtype, stored.shape, hash]));
    }
    Ok(json!({
        "config": checkpoint.config(),
        "family": checkpoint.family(),
        "files": checkpoint.files().len(),
        "notes": checkpoint.notes(),
        "revision": checkpoint.revision(),
        "tensors": tensors,
    }))
}

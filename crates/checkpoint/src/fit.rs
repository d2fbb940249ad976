//! Whether tensors and config belong together, both ways.

use std::collections::BTreeMap;

use super::entry::{Encoding, Entry};
use super::layout::{TensorSpec, expected_tensors};
use vae_fidelity_core::config::AutoencoderKLConfig;
use vae_fidelity_files::error::{Error, ErrorKind, Result};

/// What the config asks for and is not there, has another shape or cannot be read is an error; the
/// rest is a note. `source` names the weights in errors.
pub(super) fn check(
    config: &AutoencoderKLConfig,
    vae: &BTreeMap<String, Entry>,
    source: &str,
) -> Result<Vec<String>> {
    let mut found: BTreeMap<&str, &Entry> =
        vae.iter().map(|(name, entry)| (name.as_str(), entry)).collect();
    let (mut missing, mut mismatched) = (Vec::new(), Vec::new());
    let mut converted: BTreeMap<&'static str, usize> = BTreeMap::new();
    for TensorSpec { name, shape } in expected_tensors(config) {
        let Some(entry) = found.remove(name.as_str()) else {
            missing.push(name);
            continue;
        };
        match entry.encoding {
            Encoding::Other(_) => return Err(bad_encoding(&name, &entry.encoding)),
            Encoding::F64 => *converted.entry("f64, rounded to f32").or_default() += 1,
            Encoding::F8E4m3 | Encoding::F8E5m2 if entry.is_scaled() => {
                let what = "8-bit floats with a scale, read as f32";
                *converted.entry(what).or_default() += 1;
            }
            Encoding::F8E4m3 => {
                *converted.entry("float8_e4m3fn, read as f16 (exact)").or_default() += 1;
            }
            Encoding::F8E5m2 => {
                *converted.entry("float8_e5m2, read as f16 (exact)").or_default() += 1;
            }
            Encoding::F32 | Encoding::F16 | Encoding::Bf16 => {}
        }
        if entry.shape != shape {
            mismatched.push(format!("{name}: expected {shape:?}, found {:?}", entry.shape));
        }
    }
    let unexpected: Vec<String> = found.into_keys().map(str::to_owned).collect();
    if missing.is_empty() && mismatched.is_empty() {
        let stored = converted.into_iter();
        let mut notes: Vec<String> = stored
            .map(|(what, count)| format!("{count} tensor{} stored as {what}", plural(count)))
            .collect();
        if !unexpected.is_empty() {
            notes.push(format!("{}, ignored", some_of(&unexpected, "unexpected")));
        }
        return Ok(notes);
    }
    let problems =
        [(missing, "missing"), (mismatched, "with another shape"), (unexpected, "unexpected")];
    let problems: Vec<String> = problems
        .iter()
        .filter(|(names, _)| !names.is_empty())
        .map(|(names, what)| some_of(names, what))
        .collect();
    Err(Error::new(
        ErrorKind::Checkpoint,
        source,
        format!("the weights do not fit the config: {}", problems.join("; ")),
        "vae-fidelity inspect shows what the files hold; config.json has to belong to them",
    ))
}

fn bad_encoding(name: &str, encoding: &Encoding) -> Error {
    Error::new(
        ErrorKind::Checkpoint,
        name,
        format!("expected f32, f16, bf16, f64, F8_E4M3 or F8_E5M2, found {encoding}"),
        "convert the checkpoint to one of these",
    )
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// A name from a stranger's file on one line of a reasonable length.
fn shown(name: &str) -> String {
    const MOST: usize = 100;
    let mut shown: String = name.chars().take(MOST).flat_map(char::escape_debug).collect();
    if name.chars().nth(MOST).is_some() {
        shown.push_str("...");
    }
    shown
}

/// `3 tensors missing (a, b, ...)`.
pub(super) fn some_of(names: &[String], what: &str) -> String {
    const SHOWN: usize = 3;
    let more = if names.len() > SHOWN { ", ..." } else { "" };
    let shown = names.iter().take(SHOWN).map(|name| shown(name)).collect::<Vec<_>>().join(", ");
    format!("{} tensor{} {what} ({shown}{more})", names.len(), plural(names.len()))
}

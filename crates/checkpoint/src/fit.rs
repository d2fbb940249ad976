//! Whether tensors and config belong together, both ways.

use std::collections::BTreeMap;

use super::entry::{Encoding, Entry};
use super::layout::{TensorSpec, expected_tensors};
use vae_fidelity_core::ElementType;
use vae_fidelity_core::config::{Class, VaeConfig};
use vae_fidelity_files::error::{Error, ErrorKind, Result};

/// What the config asks for and is not there, has another shape or cannot be read is an error; the
/// rest is a note. `source` names the weights in errors.
pub(super) fn check(
    config: &VaeConfig,
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
            Encoding::Float(_) if entry.is_scaled() => {
                let what = "8-bit floats with a scale, read as f32";
                *converted.entry(what).or_default() += 1;
            }
            Encoding::Float(ElementType::F64) => {
                *converted.entry("f64, rounded to f32").or_default() += 1;
            }
            Encoding::Float(ElementType::Float8E4m3) => {
                *converted.entry("float8_e4m3fn, read as f16 (exact)").or_default() += 1;
            }
            Encoding::Float(ElementType::Float8E5m2) => {
                *converted.entry("float8_e5m2, read as f16 (exact)").or_default() += 1;
            }
            Encoding::Float(_) => {}
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
    let problems = problems.join("; ");
    let (why, next) = match (half(vae), Widths::of(vae).beside(config)) {
        (Some(half), _) => (half.to_owned(), "name the file of the whole VAE".to_owned()),
        (None, Some((widths, next))) => (widths, next.to_owned()),
        (None, None) => (
            "the weights do not fit the config".to_owned(),
            "vae-fidelity inspect shows what the files hold; config.json has to belong to them"
                .to_owned(),
        ),
    };
    Err(Error::new(ErrorKind::Checkpoint, source, format!("{why}: {problems}"), next))
}

/// That only one half of a VAE is among `vae`, in words.
pub(super) fn half(vae: &BTreeMap<String, Entry>) -> Option<&'static str> {
    let has = |half: &str| vae.keys().any(|name| name.starts_with(half));
    match (has("encoder."), has("decoder.")) {
        (true, false) => Some("holds the encoder of a VAE and not its decoder"),
        (false, true) => Some("holds the decoder of a VAE and not its encoder"),
        _ => None,
    }
}

/// Channels of the levels of both halves as the weights have them, from the picture inwards.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Widths {
    encoder: Vec<usize>,
    decoder: Vec<usize>,
}

impl Widths {
    /// Reads them off the first convolution of each level.
    pub fn of(vae: &BTreeMap<String, Entry>) -> Self {
        let width = |block: &str, level: usize| -> Option<usize> {
            let entry = vae.get(&format!("{block}.{level}.resnets.0.conv1.weight"))?;
            entry.shape.first().copied()
        };
        let widths = |block: &str| (0..).map_while(|level| width(block, level)).collect();
        let mut decoder: Vec<usize> = widths("decoder.up_blocks");
        decoder.reverse();
        Self { encoder: widths("encoder.down_blocks"), decoder }
    }

    /// What the weights have, where `config` asks for other widths, and what to do about it.
    pub fn beside(&self, config: &VaeConfig) -> Option<(String, &'static str)> {
        let (asked, asked_of_decoder) = (config.block_out_channels(), config.decoder_widths());
        let Self { encoder, decoder } = self;
        if encoder.is_empty()
            || decoder.is_empty()
            || (encoder[..] == asked[..] && decoder[..] == asked_of_decoder[..])
        {
            return None;
        }
        Some(match encoder == decoder && asked == asked_of_decoder {
            _ if config.class() != Class::AutoencoderKL => (
                format!(
                    "the weights have an encoder of widths {encoder:?} and a decoder of {decoder:?}, \
                     the config asks for {asked:?} and {asked_of_decoder:?}"
                ),
                "take the config.json that was published with these weights",
            ),
            true => (
                format!("the weights have block_out_channels {encoder:?}, the config {asked:?}"),
                "take the config.json that was published with these weights",
            ),
            false => (
                format!(
                    "the weights have an encoder of widths {encoder:?} and a decoder of {decoder:?}, \
                     the config asks for {asked:?} in both"
                ),
                "a decoder that is narrower or wider than its encoder is not run yet; take the whole \
                 VAE that it was made for",
            ),
        })
    }
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

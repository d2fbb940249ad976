//! What stands before the names of a VAE's tensors in a file: the modules and dicts that hold it, and the
//! wrappers that training leaves.

use std::collections::BTreeMap;

use super::entry::Entry;
use super::wan_names;
use vae_fidelity_files::error::{Error, Result};

/// Modules that wrap another and are none of the model: `torch.compile`, `DataParallel` and
/// `DistributedDataParallel`, FSDP, activation checkpointing, DeepSpeed.
const WRAPPERS: [&str; 5] = [
    "_orig_mod",
    "module",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
    "_forward_module",
];

/// Names that every encoder and decoder of images of some class has, near the beginning.
const FIRST: [&str; 10] = [
    "encoder.conv_in.weight",
    "decoder.conv_in.weight",
    // AutoencoderTiny in diffusers, in `taesd.py` and in ComfyUI.
    "encoder.layers.0.weight",
    "decoder.layers.0.weight",
    "encoder.1.conv.0.weight",
    "decoder.3.conv.0.weight",
    "taesd_encoder.1.conv.0.weight",
    "taesd_decoder.3.conv.0.weight",
    wan_names::FIRST[0],
    wan_names::FIRST[1],
];

/// How many candidates an error names.
const SHOWN: usize = 8;

/// The tensors under `key`, by what is left of their names: `model` leads to `model.encoder.…`.
///
/// Errors where there are none.
pub(super) fn under(
    tensors: BTreeMap<String, Entry>,
    key: &str,
) -> Result<BTreeMap<String, Entry>> {
    let prefix = format!("{}.", key.trim_end_matches('.'));
    let found: BTreeMap<String, Entry> = tensors
        .iter()
        .filter_map(|(name, entry)| Some((name.strip_prefix(&prefix)?.to_owned(), entry.clone())))
        .collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let keys: Vec<String> = candidates(tensors.keys())
        .into_iter()
        .map(|prefix| prefix.trim_end_matches('.').to_owned())
        .filter(|key| !key.is_empty())
        .collect();
    let (found, next) = match keys.as_slice() {
        [] => ("no VAE lies under any".to_owned(), "leave it out".to_owned()),
        keys => (format!("a VAE lies under {}", listed(keys)), format!("pass `key` {}", keys[0])),
    };
    let problem = format!("no tensor of the file lies under it; {found}");
    Err(Error::option(format!("`key` {key}"), problem, next))
}

/// What stands before the first tensors of an encoder or decoder, each once and with its last dot; `""`
/// where nothing does.
pub(super) fn candidates<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut found: Vec<String> = names
        .filter_map(|name| FIRST.iter().find_map(|first| name.strip_suffix(first)))
        .filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
        .map(str::to_owned)
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Takes the wrappers' names out of those of all tensors, and says so; leaves names as they are where
/// two tensors would then have the same.
pub(super) fn unwrapped(
    tensors: BTreeMap<String, Entry>,
) -> (BTreeMap<String, Entry>, Option<String>) {
    let bare = |name: &str| -> Option<String> {
        let is_wrapper = |part: &&str| WRAPPERS.contains(part);
        name.split('.')
            .any(|part| is_wrapper(&part))
            .then(|| name.split('.').filter(|part| !is_wrapper(part)).collect::<Vec<_>>().join("."))
    };
    let renamed: BTreeMap<&String, String> =
        tensors.keys().filter_map(|name| Some((name, bare(name)?))).collect();
    if renamed.is_empty() {
        return (tensors, None);
    }
    let mut taken: Vec<&String> =
        tensors.keys().map(|name| renamed.get(name).unwrap_or(name)).collect();
    taken.sort();
    if taken.windows(2).any(|pair| pair[0] == pair[1]) {
        return (tensors, None);
    }
    let count = renamed.len();
    let wrappers: Vec<&str> = WRAPPERS
        .into_iter()
        .filter(|wrapper| renamed.keys().any(|name| name.split('.').any(|part| part == *wrapper)))
        .collect();
    let note = format!(
        "{} taken out of the names of {count} tensors, as torch.compile or distributed training leaves \
         it there",
        wrappers.join(". and ") + "."
    );
    let renamed: BTreeMap<String, String> =
        renamed.into_iter().map(|(name, bare)| (name.clone(), bare)).collect();
    let tensors = tensors
        .into_iter()
        .map(|(name, entry)| (renamed.get(&name).cloned().unwrap_or(name), entry))
        .collect();
    (tensors, Some(note))
}

/// That several VAEs are in a file, and how to say which is meant. `found` are their prefixes, and how
/// many tensors each has.
pub(super) fn ambiguous(source: impl std::fmt::Display, found: &[(String, usize)]) -> Error {
    let named = |(prefix, count): &(String, usize)| {
        format!("{} ({count} tensors)", prefix.trim_end_matches('.'))
    };
    let all: Vec<String> = found.iter().map(named).collect();
    let first = found.first().map_or("", |(prefix, _)| prefix.trim_end_matches('.'));
    Error::new(
        vae_fidelity_files::ErrorKind::Checkpoint,
        source,
        format!("holds {} VAEs, and which one is meant is not said: {}", found.len(), listed(&all)),
        format!("choose one, for example `key` {first}"),
    )
}

fn listed(names: &[String]) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(SHOWN)
        .map(|name| name.chars().take(100).flat_map(char::escape_debug).collect())
        .collect();
    let more = if names.len() > SHOWN { ", ..." } else { "" };
    format!("{}{more}", shown.join(", "))
}

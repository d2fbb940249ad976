//! The tensors of one file or of several shards, whatever their format.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::bytes::Bytes;
use super::entry::Entry;
use super::in_memory::InMemory;
use super::{pickle, prefixes, safetensors_file};
use vae_fidelity_files::error::{Error, Result};

/// A file that holds tensors, or what would be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TensorFile {
    /// Where it lies, or what it is called.
    pub path: PathBuf,
    /// Its bytes, where it lies nowhere.
    pub bytes: Option<InMemory>,
    /// What goes before the names that its tensors have in it; mostly nothing.
    pub prefix: &'static str,
}

impl TensorFile {
    /// A file whose names are taken as they are.
    pub fn plain(path: PathBuf) -> Self {
        Self { path, bytes: None, prefix: "" }
    }

    /// Its bytes, whatever they are. Fails if it cannot be read.
    pub fn map(&self) -> Result<Bytes> {
        match &self.bytes {
            Some(bytes) => Ok(Bytes::InMemory(bytes.clone())),
            None => Bytes::map(&self.path),
        }
    }

    /// Its bytes, which are weights by the first of them.
    fn open(&self) -> Result<Bytes> {
        match &self.bytes {
            Some(bytes) => Ok(Bytes::InMemory(bytes.clone())),
            None => Bytes::open(&self.path),
        }
    }
}

/// Where `files` lie.
pub(super) fn paths(files: &[TensorFile]) -> Vec<PathBuf> {
    files.iter().map(|file| file.path.clone()).collect()
}

/// Every tensor in `files`, by the name it has there behind the file's prefix, and what to say about
/// them. With a `key`, those that lie under it, by what their names are in it.
pub(super) fn open(
    files: &[TensorFile],
    key: Option<&str>,
) -> Result<(BTreeMap<String, Entry>, Vec<String>)> {
    let mut tensors = BTreeMap::new();
    let mut not_run = BTreeMap::new();
    let mut at_key = false;
    for file in files {
        let TensorFile { path, prefix, .. } = file;
        let bytes = Arc::new(file.open()?);
        let entries = if pickle::is_pickled(bytes.as_slice()) {
            let pickled = pickle::read(&bytes, key, path)?;
            not_run.extend(pickled.not_run.into_iter().map(|name| (name, path)));
            at_key |= pickled.at_key;
            pickled.entries.into_iter().collect()
        } else {
            safetensors_file::entries(&bytes, path)?
        };
        for (name, entry) in entries {
            let name = format!("{prefix}{name}");
            if tensors.insert(name.clone(), entry).is_some() {
                return Err(Error::checkpoint(
                    path,
                    format!("{name} is also in another shard"),
                    "fetch the checkpoint again: shards of two versions may be mixed",
                ));
            }
        }
    }
    let mut notes = match not_run.len() {
        0 => Vec::new(),
        count => vec![not_run_note(&not_run.into_keys().collect::<Vec<_>>(), count)],
    };
    if let Some(key) = key.filter(|_| !files.is_empty()) {
        if !at_key {
            tensors = prefixes::under(tensors, key)?;
        }
        notes.push(format!("`key`: the {} tensors under {key} are read, no others", tensors.len()));
    }
    Ok((tensors, notes))
}

/// Fails where one of the files of `tensors` was written to since it was opened.
pub(super) fn check_unchanged<'a>(tensors: impl Iterator<Item = &'a Entry>) -> Result<()> {
    let by_file: BTreeMap<usize, &Entry> =
        tensors.map(|entry| (entry.file_number(), entry)).collect();
    by_file.values().try_for_each(|entry| entry.check_unchanged())
}

/// The tensors of a file that is part of the binary.
pub(super) fn embedded(bytes: &'static [u8], origin: &Path) -> Result<BTreeMap<String, Entry>> {
    let bytes = Arc::new(Bytes::Embedded(bytes));
    Ok(safetensors_file::entries(&bytes, origin)?.into_iter().collect())
}

fn not_run_note(names: &[String], count: usize) -> String {
    const SHOWN: usize = 5;
    let more = if count > SHOWN { ", ..." } else { "" };
    let shown = names[..count.min(SHOWN)].join(", ");
    format!(
        "the pickle asks for code that was not run: {shown}{more}; if you do not know it, do not \
         open the file with torch.load(weights_only=False)"
    )
}

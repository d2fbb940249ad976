//! A VAE whose halves lie in two files of one folder, as TAESD was published: `taesd_encoder.pth` and
//! `taesd_decoder.pth`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::tensor_files::TensorFile;
use vae_fidelity_files::error::{Error, Result};

/// Endings of such files, the one that is preferred first.
const ENDINGS: [&str; 4] = ["safetensors", "pth", "pt", "bin"];

/// What each half's name ends in before that.
const HALVES: [&str; 2] = ["_encoder", "_decoder"];

/// What stands before a half's tensors where both are in one file (ComfyUI's names): by themselves, both
/// halves have a `1.weight`.
const PREFIXES: [&str; 2] = ["taesd_encoder.", "taesd_decoder."];

/// Encoder and decoder, each in a file of its own.
pub(super) struct Halves {
    encoder: PathBuf,
    decoder: PathBuf,
}

impl Halves {
    /// The pair of files in `folder` that have one name but for the half; `None` where there is none.
    ///
    /// Fails where there are several.
    pub fn find(folder: &Path) -> Result<Option<Self>> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let names: BTreeSet<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        // The stem of a pair to its files, of the preferred format.
        let mut pairs: BTreeMap<&str, [PathBuf; 2]> = BTreeMap::new();
        for ending in ENDINGS.iter().rev() {
            let encoder = format!("{}.{ending}", HALVES[0]);
            for stem in names.iter().filter_map(|name| name.strip_suffix(&encoder)) {
                let files = HALVES.map(|half| format!("{stem}{half}.{ending}"));
                if names.contains(&files[1]) {
                    pairs.insert(stem, files.map(|name| folder.join(name)));
                }
            }
        }
        let stems: Vec<&str> = pairs.keys().copied().collect();
        if stems.len() > 1 {
            return Err(Error::checkpoint(
                folder,
                format!("holds the halves of several VAEs: {}", stems.join(", ")),
                "put the two files that are meant into a folder of their own, and name that",
            ));
        }
        Ok(pairs.into_values().next().map(|[encoder, decoder]| Self { encoder, decoder }))
    }

    /// In words, for a note.
    pub fn note(&self) -> String {
        let name = |file: &Path| file.file_name().unwrap_or_default().display().to_string();
        let (encoder, decoder) = (name(&self.encoder), name(&self.decoder));
        format!("using the encoder in {encoder} and the decoder in {decoder}")
    }

    /// Encoder and decoder.
    pub fn into_files(self) -> Vec<TensorFile> {
        let [encoder, decoder] = PREFIXES;
        vec![
            TensorFile { prefix: encoder, ..TensorFile::plain(self.encoder) },
            TensorFile { prefix: decoder, ..TensorFile::plain(self.decoder) },
        ]
    }
}

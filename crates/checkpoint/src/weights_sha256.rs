//! What tells one checkpoint's weights from another's, wherever they lie.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};
use vae_fidelity_files::error::{Error, Result, io_reason};

use super::builtin::builtin;
use super::checkpoint::Checkpoint;
use super::layout::expected_tensors;
use super::source::Source;

/// How much of a file is read at a time.
const CHUNK: usize = 1 << 20;

impl Checkpoint {
    /// SHA-256 of the file of weights, in hexadecimal, as hubs show it. Of several files, of the lines
    /// `SHA256  NAME` that `sha256sum` prints of them in order of their names; of weights in no file, of
    /// names and bytes of all tensors.
    ///
    /// # Errors
    ///
    /// When a file cannot be read to its end.
    pub fn weights_sha256(&self) -> Result<String> {
        match self.files() {
            [] if *self.source() == Source::Builtin => Ok(hex(Sha256::digest(builtin()?.1))),
            [] => self.tensors_sha256(),
            [file] => of_file(file),
            files => {
                let mut lines = Vec::new();
                for file in files {
                    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    lines.push((name, of_file(file)?));
                }
                lines.sort();
                let lines = lines.iter().map(|(name, sha256)| format!("{sha256}  {name}\n"));
                Ok(hex(Sha256::digest(lines.collect::<String>())))
            }
        }
    }

    fn tensors_sha256(&self) -> Result<String> {
        let mut hash = Sha256::new();
        for spec in expected_tensors(self.config()) {
            let stored = self.tensor(&spec.name)?;
            hash.update(format!("{} {} {:?}\n", spec.name, stored.dtype, stored.shape));
            hash.update(&stored.data);
        }
        Ok(hex(hash.finalize()))
    }
}

pub(super) fn of_file(path: &Path) -> Result<String> {
    let failed = |error: std::io::Error| {
        Error::checkpoint(path, io_reason(&error), "check the disk, and that nobody replaced it")
    };
    stream_sha256(File::open(path).map_err(failed)?).map_err(failed)
}

/// SHA-256 of all that `stream` has, in hexadecimal.
///
/// # Errors
///
/// As its reads.
pub fn stream_sha256(mut stream: impl Read) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Ok(hex(hash.finalize()));
        }
        hash.update(&chunk[..read]);
    }
}

fn hex(digest: impl AsRef<[u8]>) -> String {
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

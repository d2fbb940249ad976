//! What a checkpoint says without running it: every rule on its files, config and weights.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::checkpoint::Contents;
use crate::diagnosis::{
    Finding, Measured, Misfit, by_what_to_mend_first, checkpoint_findings, defective_release,
    perhaps_defective,
};
use crate::error::{Error, Result, io_reason};

/// What `inspect` finds in `contents`, by reading each tensor once. A file is only hashed where its
/// length is that of a release that is known to be defective.
///
/// # Errors
///
/// Returns an error if such a file cannot be read to its end.
pub fn findings(contents: &Contents) -> Result<Vec<Finding>> {
    let measured = Measured::all(contents);
    let mut findings = checkpoint_findings(contents, &Misfit::of(contents), &measured);
    for path in contents.files() {
        // What cannot be asked for its length has its finding already.
        if path.metadata().is_ok_and(|metadata| perhaps_defective(metadata.len())) {
            findings.extend(defective_release(&hash(path)?.1));
        }
    }
    by_what_to_mend_first(&mut findings);
    Ok(findings)
}

/// Size and SHA-256 of a file.
///
/// # Errors
///
/// Returns an error if it cannot be read to its end.
pub fn hash(path: &Path) -> Result<(u64, String)> {
    let read = || -> io::Result<(u64, String)> {
        let file = File::open(path)?;
        // No more than it has now: some grow, and some of the kernel's never end.
        let most = file.metadata()?.len();
        let mut file = file.take(most);
        let (mut digest, mut length) = (Sha256::new(), 0);
        let mut block = vec![0; 1 << 20];
        loop {
            let read = file.read(&mut block)?;
            if read == 0 {
                break;
            }
            digest.update(&block[..read]);
            length += read as u64;
        }
        let hash = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok((length, hash))
    };
    read().map_err(|error| Error::checkpoint(path, io_reason(&error), "check the disk"))
}

//! SHA-256 as text.

use sha2::{Digest, Sha256};

/// Of `bytes`, in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    finished(Sha256::new_with_prefix(bytes))
}

/// Its first twelve digits, for people.
pub(crate) fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}

/// What `hash` comes to, in hexadecimal.
pub(crate) fn finished(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

//! What all JSON objects share.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

/// Version of every JSON object that the tool prints: fields may be added, none is renamed.
pub const SCHEMA_VERSION: u32 = 1;

/// A path in JSON, which has no place for bytes that are not UTF-8.
pub(super) fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

/// See [`lossy`].
pub(super) fn lossy_option<S: Serializer>(
    path: &Option<PathBuf>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    path.as_ref().map(|path| path.to_string_lossy()).serialize(serializer)
}

/// See [`lossy`].
pub(super) fn lossy_all<S: Serializer>(
    paths: &[PathBuf],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| path.to_string_lossy()))
}

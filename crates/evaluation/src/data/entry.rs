//! One picture of a data set, and where it lies.

use std::path::{Path, PathBuf};

/// One picture of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is called wherever the data set lies: its path from there, with `/` between folders; then
    /// the member of an archive, or the row and column of a parquet file.
    pub id: String,
    pub(super) location: Location,
}

/// Where the bytes of a picture are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    /// A file, and its length.
    File {
        path: PathBuf,
        bytes: u64,
    },
    /// A part of an archive.
    Member {
        container: usize,
        offset: u64,
        bytes: u64,
    },
    Cell(Cell),
}

/// One value of a parquet file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    pub container: usize,
    pub row_group: usize,
    /// From the beginning of the row group.
    pub row: usize,
    /// Which leaf of the schema has the bytes.
    pub leaf: usize,
}

/// A file that holds many pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Container {
    pub path: PathBuf,
    pub id: String,
    pub bytes: u64,
}

/// The ending of a file's name in small letters.
pub(super) fn ending(path: &Path) -> Option<String> {
    Some(path.extension()?.to_str()?.to_ascii_lowercase())
}

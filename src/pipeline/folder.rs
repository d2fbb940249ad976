//! The pictures of a folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::pixels::ImageFormat;
use crate::{Error, Result};

/// The pictures in `folder`, by name; other files are left out, and so are folders in it.
///
/// # Errors
///
/// When the folder cannot be read, or holds no picture.
pub(crate) fn pictures_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = |error: io::Error| {
        Error::image(folder, format!("the folder cannot be read: {error}"), "check its permissions")
    };
    let mut pictures = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_file() && ImageFormat::by_extension(&path).is_some() {
            pictures.push(path);
        }
    }
    pictures.sort();
    match pictures.is_empty() {
        true => Err(Error::image(folder, "holds no picture", "name pictures, or another folder")),
        false => Ok(pictures),
    }
}

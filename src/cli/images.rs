//! Which pictures are meant: files, folders of them, and lists on standard input.

use std::fs;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

use crate::pixels::ImageFormat;
use crate::{Error, Result};

/// The pictures of `given` in their order: a folder stands for the pictures in it, by name, and `-`
/// for the paths that standard input names, one a line.
///
/// Errors for a folder that cannot be read or holds no picture, and for an empty list.
pub fn expand(given: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut pictures = Vec::new();
    for path in given {
        if path.as_os_str() == "-" {
            pictures.extend(listed()?);
        } else if path.is_dir() {
            pictures.extend(inside(path)?);
        } else {
            pictures.push(path.clone());
        }
    }
    Ok(pictures)
}

fn listed() -> Result<Vec<PathBuf>> {
    let lines = io::stdin().lock().lines().collect::<io::Result<Vec<String>>>();
    let unusable = |problem: String| {
        Error::option("-", problem, "name pictures on standard input, one a line")
    };
    let lines = lines.map_err(|error| unusable(format!("standard input: {error}")))?;
    let paths: Vec<PathBuf> =
        lines.iter().map(|line| line.trim()).filter(|l| !l.is_empty()).map(PathBuf::from).collect();
    match paths.is_empty() {
        true => Err(unusable("standard input names no picture".to_owned())),
        false => Ok(paths),
    }
}

fn inside(folder: &Path) -> Result<Vec<PathBuf>> {
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

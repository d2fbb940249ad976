//! Which pictures are meant: files, folders of them, and lists on standard input.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::input::MAX_TEXT_BYTES;
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
    let unusable = |problem: String| {
        Error::option("-", problem, "name pictures on standard input, one a line")
    };
    let mut text = Vec::new();
    let read = io::stdin().lock().take(MAX_TEXT_BYTES + 1).read_to_end(&mut text);
    read.map_err(|error| unusable(format!("standard input: {error}")))?;
    if text.len() as u64 > MAX_TEXT_BYTES {
        let problem = format!("standard input has more than {MAX_TEXT_BYTES} bytes");
        return Err(unusable(problem));
    }
    let lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let paths: Vec<PathBuf> =
        lines.filter(|line| !line.is_empty()).map(path_of).collect::<Result<_>>()?;
    match paths.is_empty() {
        true => Err(unusable("standard input names no picture".to_owned())),
        false => Ok(paths),
    }
}

/// The path that a line names: any bytes, where paths are bytes.
#[cfg(unix)]
fn path_of(line: &[u8]) -> Result<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    Ok(std::ffi::OsStr::from_bytes(line).into())
}

#[cfg(not(unix))]
fn path_of(line: &[u8]) -> Result<PathBuf> {
    let line = std::str::from_utf8(line);
    line.map(PathBuf::from).map_err(|_| {
        Error::option("-", "standard input is no UTF-8", "name pictures on standard input in UTF-8")
    })
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

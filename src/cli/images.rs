//! Which pictures are meant: files, folders of them, and lists on standard input.

use std::io::{self, Read};
use std::path::PathBuf;

use crate::input::MAX_TEXT_BYTES;
use crate::pipeline::pictures_in;
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
            pictures.extend(pictures_in(path)?);
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

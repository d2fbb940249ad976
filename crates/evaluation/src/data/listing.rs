//! Which files make up a data set: those below a folder, or those that a list names.

use std::fs;
use std::path::{Path, PathBuf};

use vae_fidelity_files::error::{Error, Result, io_reason};
use vae_fidelity_files::input::read_text;
use vae_fidelity_pixels::ImageFormat;

use super::entry::ending;

/// A file of a data set: what it is called there, and where it is.
pub(super) type Listed = (String, PathBuf);

/// Endings of lists of files.
const LISTS: [&str; 2] = ["txt", "lst"];

/// How archives end that would have to be unpacked.
const COMPRESSED: [&str; 5] = ["tgz", "gz", "zst", "xz", "zip"];

/// Whether pictures are looked for in a file of this name.
fn is_read(path: &Path) -> bool {
    ImageFormat::by_extension(path).is_some()
        || ending(path).is_some_and(|ending| ["tar", "parquet"].contains(&ending.as_str()))
}

/// The files of the data set at `path`, in the order of their names, bytewise, or of the list.
///
/// # Errors
///
/// When a folder or list cannot be read, when folders lie in each other without end, and for a file that
/// is none of them.
pub(super) fn listed(path: &Path) -> Result<Vec<Listed>> {
    if path.is_dir() {
        let mut files = Vec::new();
        walk(path, "", &mut Vec::new(), &mut files)?;
        files.sort();
        return Ok(files);
    }
    let name = || path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match ending(path) {
        Some(ending) if LISTS.contains(&ending.as_str()) => of_list(path),
        _ if is_read(path) => Ok(vec![(name(), path.to_owned())]),
        Some(ending) if COMPRESSED.contains(&ending.as_str()) => Err(Error::image(
            path,
            format!("expected pictures that need not be unpacked first, found .{ending}"),
            "give a tar archive without compression, or a folder",
        )),
        _ if !path.exists() => Err(Error::image(path, "no such file or folder", "check the path")),
        _ => Err(Error::image(
            path,
            "expected a folder, a list (.txt), a tar archive, a parquet file or a picture",
            "name one of these",
        )),
    }
}

fn walk(
    folder: &Path,
    prefix: &str,
    above: &mut Vec<PathBuf>,
    files: &mut Vec<Listed>,
) -> Result<()> {
    let unreadable = |error: std::io::Error| {
        let problem = format!("the folder cannot be read: {}", io_reason(&error));
        Error::image(folder, problem, "check its permissions")
    };
    let real = folder.canonicalize().map_err(unreadable)?;
    if above.contains(&real) {
        let problem = "a link in it leads back to itself";
        return Err(Error::image(folder, problem, "remove the link"));
    }
    above.push(real);
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("._") {
            continue;
        }
        let id = format!("{prefix}{name}");
        if path.is_dir() {
            walk(&path, &format!("{id}/"), above, files)?;
        } else if is_read(&path) {
            files.push((id, path));
        }
    }
    above.pop();
    Ok(())
}

/// A list's lines are paths from where it lies; empty ones, and those that begin with `#`, are none.
fn of_list(path: &Path) -> Result<Vec<Listed>> {
    let text = read_text(path).map_err(|problem| {
        Error::image(path, problem, "give a list of paths in UTF-8, one a line")
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines
        .filter(|line| !line.starts_with('#'))
        .map(|line| (line.to_owned(), folder.join(line)))
        .collect())
}

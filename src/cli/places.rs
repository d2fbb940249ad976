//! Whether files can be written where the user wants them: no output may be an input or another
//! output under any name, and each must have a name that fits what is in it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::output::{check_writable, resolve};
use crate::pixels::ImageFormat;
use crate::{Error, Result};

/// Errors for an output that is one of `inputs`, for outputs that meet in one file, and for those
/// that cannot be written. Each output comes with the flag that names it.
pub fn check(outputs: &[(&str, &Path)], inputs: &[PathBuf]) -> Result<()> {
    refuse_overlap(outputs, inputs)?;
    outputs.iter().try_for_each(|(_, path)| check_writable(path))
}

/// Errors where `path` has a name of another format than the PNG that `flag` writes.
pub fn check_png_name(flag: &str, path: &Path) -> Result<()> {
    match other_format(path) {
        None => Ok(()),
        Some(extension) => Err(Error::output(
            path,
            format!("{flag} writes PNG, and the name ends in .{extension}"),
            format!("name it {}", path.with_extension("png").display()),
        )),
    }
}

/// The ending of a name that promises another format than PNG.
fn other_format(path: &Path) -> Option<String> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    let other = match ImageFormat::by_extension(path) {
        Some(format) => format != ImageFormat::Png,
        // Pillow writes these, and they are not read here.
        None => ["avif", "jp2", "ico"].contains(&extension.as_str()),
    };
    other.then_some(extension)
}

fn refuse_overlap(outputs: &[(&str, &Path)], inputs: &[PathBuf]) -> Result<()> {
    for (at, (name, path)) in outputs.iter().enumerate() {
        if let Some(input) = inputs.iter().find(|input| same_file(path, input)) {
            return Err(Error::output(
                path,
                format!("{name} would replace an input, {}", input.display()),
                "name another file to write",
            ));
        }
        if let Some((other, twin)) = outputs[..at].iter().find(|(_, other)| same_file(path, other))
        {
            return Err(Error::output(
                path,
                format!("{name} and {other} ({}) are one file", twin.display()),
                "give each output a file of its own; inputs of one name need folders of their own",
            ));
        }
    }
    Ok(())
}

/// Whether two paths lead to one file, through symbolic and hard links, or would if they existed.
/// Devices can be written twice, and a pipe must not even be opened: that waits for its writer.
fn same_file(a: &Path, b: &Path) -> bool {
    let special = |path| fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
    if special(a) || special(b) {
        return false;
    }
    same_file::is_same_file(a, b).unwrap_or(false)
        || matches!((location(a), location(b)), (Some(a), Some(b)) if a == b)
}

/// The one name of a file that may not exist yet.
fn location(path: &Path) -> Option<PathBuf> {
    let target = resolve(path).ok()?;
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    Some(folder.canonicalize().ok()?.join(target.file_name()?))
}

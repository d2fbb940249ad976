//! Pictures in a tar archive, as webdataset has them.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use tar::{Archive, EntryType};
use vae_fidelity_files::error::{Error, Result, io_reason};
use vae_fidelity_files::input::open_regular;
use vae_fidelity_pixels::ImageFormat;

/// One member of an archive.
pub(super) struct Member {
    pub name: String,
    pub offset: u64,
    pub bytes: u64,
}

/// The pictures of the archive at `path`, in its order, by the endings of their names.
///
/// Only headers are read. Links, folders and what macOS puts beside files (`._NAME`) are passed over.
///
/// # Errors
///
/// When a header is broken, and for a sparse member.
pub(super) fn members(path: &Path) -> Result<Vec<Member>> {
    let broken = |error: std::io::Error| {
        Error::image(
            path,
            format!("expected a tar archive: {}", io_reason(&error)),
            "make the archive anew, or leave it out of the data set",
        )
    };
    let file = open_regular(path)
        .map_err(|problem| Error::image(path, problem, "make the archive readable"))?;
    let mut archive = Archive::new(BufReader::new(file));
    let mut members = Vec::new();
    for entry in archive.entries_with_seek().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if !is_picture(&name) {
            continue;
        }
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => {}
            EntryType::GNUSparse => {
                let problem = format!("its member {name} is stored sparse, which is not read");
                return Err(Error::image(path, problem, "make the archive without --sparse"));
            }
            _ => continue,
        }
        members.push(Member { name, offset: entry.raw_file_position(), bytes: entry.size() });
    }
    Ok(members)
}

fn is_picture(name: &str) -> bool {
    let path = Path::new(name);
    let resource = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("._"));
    !resource && ImageFormat::by_extension(path).is_some()
}

/// The archive at `path`, to read members from.
pub(super) fn open(path: &Path) -> Result<File> {
    open_regular(path).map_err(|problem| Error::image(path, problem, "make the archive readable"))
}

//! Regular files, read whole: never a pipe that waits for ever, nor a device without end.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::error::{io_reason, next_by_number};
use crate::memory::reserve;

/// Far above any `config.json`, recipe or index of shards.
pub const MAX_TEXT_BYTES: u64 = 16 << 20;

/// Far above any file of tensors that one picture gives: latents, a decoded sample, a layer's output.
pub const MAX_TENSOR_BYTES: u64 = 8 << 30;

/// Far above any trace.
pub const MAX_TRACE_BYTES: u64 = 1 << 30;

/// How git-lfs begins the text that it leaves in place of a file.
pub const LFS_POINTER: &[u8] = b"version https://git-lfs";

/// Opens `path` for reading; the error says in words why it cannot be, or that it is no file.
pub fn open_regular(path: &Path) -> Result<File, String> {
    // Before it is opened: opening a pipe waits for its writer.
    let metadata = std::fs::metadata(path).map_err(|error| io_reason(&error))?;
    if metadata.is_dir() {
        return Err("expected a file, found a directory".into());
    }
    if !metadata.is_file() {
        return Err("expected a regular file, found a pipe or device".into());
    }
    File::open(path).map_err(|error| io_reason(&error))
}

/// What to do where `path` is there and cannot be read; `None` where it can, or is not there.
pub fn next_to_read(path: &Path) -> Option<&'static str> {
    let error = match std::fs::metadata(path) {
        // Opening a pipe waits for its writer.
        Ok(metadata) if !metadata.is_file() => return None,
        Ok(_) => File::open(path).err()?,
        Err(error) => error,
    };
    match error.kind() {
        ErrorKind::PermissionDenied => Some("let yourself read it, and the folders above it"),
        ErrorKind::NotADirectory => Some("check the path: a part of it is a file"),
        ErrorKind::InvalidFilename => Some("check the path: no name may be so long"),
        _ => next_by_number(&error),
    }
}

/// The bytes of `path`, of which there may be `most`.
///
/// No more is read than the file has when it is opened: one that grows has an end all the same, and
/// those that a kernel makes up as they are read (`/proc`), some of which never end, are empty.
pub fn read_bytes(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let file = open_regular(path)?;
    let length = file.metadata().map_err(|error| io_reason(&error))?.len();
    if length > most {
        return Err(format!("expected at most {most} bytes, found {length}"));
    }
    let mut bytes = Vec::new();
    let room = usize::try_from(length).ok().and_then(|room| reserve(&mut bytes, room).ok());
    room.ok_or_else(|| format!("no memory for its {length} bytes"))?;
    file.take(length).read_to_end(&mut bytes).map_err(|error| io_reason(&error))?;
    Ok(bytes)
}

/// The text of `path`, at most [`MAX_TEXT_BYTES`] long.
pub fn read_text(path: &Path) -> Result<String, String> {
    let text = String::from_utf8(read_bytes(path, MAX_TEXT_BYTES)?)
        .map_err(|_| "is no text: it has bytes that are not UTF-8".to_owned())?;
    if text.as_bytes().starts_with(LFS_POINTER) {
        return Err(
            "is a git-LFS pointer, not the file itself; `git lfs pull` fetches it".to_owned()
        );
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "text").unwrap();
        assert_eq!(read_text(&path).unwrap(), "text");
        assert_eq!(read_bytes(&path, 4).unwrap(), b"text");
        std::fs::write(&path, [LFS_POINTER, b".github.com/spec/v1\noid sha256:0\n"].concat())
            .unwrap();
        assert!(read_text(&path).unwrap_err().contains("git-LFS pointer"));
        assert!(read_text(folder.path()).unwrap_err().contains("directory"));
        assert!(read_text(&folder.path().join("b")).unwrap_err().contains("no such file"));
        std::fs::write(&path, vec![b'x'; MAX_TEXT_BYTES as usize + 1]).unwrap();
        assert!(read_text(&path).unwrap_err().contains("at most"));
    }

    /// Reading the first waits for ever where nobody reads the kernel's log, the second has 128 TB.
    #[cfg(target_os = "linux")]
    #[test]
    fn files_of_the_kernel_are_empty_or_too_large() {
        for path in ["/proc/kmsg", "/proc/kcore", "/proc/self/maps"].map(Path::new) {
            match read_bytes(path, 1 << 30) {
                Ok(bytes) => assert!(bytes.is_empty(), "{}", path.display()),
                Err(problem) => assert!(!problem.is_empty()),
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn devices_are_refused() {
        for read in
            [read_text(Path::new("/dev/zero")).err(), read_bytes(Path::new("/dev/zero"), 9).err()]
        {
            assert!(read.unwrap().contains("device"));
        }
    }
}

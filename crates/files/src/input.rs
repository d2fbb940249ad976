//! Regular files, read whole: never a pipe that waits for ever, nor a device without end.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::io_reason;

/// Far above any `config.json`, recipe or index of shards.
pub const MAX_TEXT_BYTES: u64 = 16 << 20;

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

/// The bytes of `path`.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    open_regular(path)?.read_to_end(&mut bytes).map_err(|error| io_reason(&error))?;
    Ok(bytes)
}

/// The text of `path`, at most [`MAX_TEXT_BYTES`] long.
pub fn read_text(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    open_regular(path)?
        .take(MAX_TEXT_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| io_reason(&error))?;
    if text.as_bytes().starts_with(LFS_POINTER) {
        return Err(
            "is a git-LFS pointer, not the file itself; `git lfs pull` fetches it".to_owned()
        );
    }
    if text.len() as u64 > MAX_TEXT_BYTES {
        return Err(format!("expected at most {MAX_TEXT_BYTES} bytes of text, found more"));
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
        assert_eq!(read_bytes(&path).unwrap(), b"text");
        std::fs::write(&path, [LFS_POINTER, b".github.com/spec/v1\noid sha256:0\n"].concat())
            .unwrap();
        assert!(read_text(&path).unwrap_err().contains("git-LFS pointer"));
        assert!(read_text(folder.path()).unwrap_err().contains("directory"));
        assert!(read_text(&folder.path().join("b")).unwrap_err().contains("no such file"));
        std::fs::write(&path, vec![b'x'; MAX_TEXT_BYTES as usize + 1]).unwrap();
        assert!(read_text(&path).unwrap_err().contains("at most"));
    }

    #[cfg(unix)]
    #[test]
    fn devices_are_refused() {
        for read in
            [read_text(Path::new("/dev/zero")).err(), read_bytes(Path::new("/dev/zero")).err()]
        {
            assert!(read.unwrap().contains("device"));
        }
    }
}

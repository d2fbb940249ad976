//! Opening a picture as the gist does: `PIL.Image.open(path).convert("RGB")`.

use std::fs::File;
use std::io::{ErrorKind as IoErrorKind, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::format::{ImageFormat, SNIFFED_BYTES, Sniffed, sniff};
use super::rgb8::Rgb8;
use super::{bmp, gif, jpeg, png, pnm, tga, tiff, webp};
use crate::error::{Error, Result, io_reason};

/// The largest file that is read whole. BMP, PPM and TGA are; the others are read as a stream.
const MAX_FILE_BYTES: u64 = 4 << 30;

/// A picture, and how it got here.
#[derive(Debug, Clone)]
pub struct OpenedImage {
    /// The pixels after Pillow's `convert("RGB")`, before any resizing.
    pub pixels: Rgb8,
    /// The file's format.
    pub format: ImageFormat,
    /// The mode in which Pillow opens the file, before the conversion: `L`, `RGBA`, `I;16`, ...
    pub mode: &'static str,
    /// The EXIF orientation (2 to 8) that the pixels do not have: Pillow's `open` ignores it, except
    /// in TIFF. `None` where they are upright.
    pub orientation: Option<u16>,
    /// What the user should know: alpha dropped, an orientation or a profile ignored, more frames,
    /// more pixels than Pillow is silent about. Sentences without a full stop.
    pub notes: Vec<String>,
}

/// Opens an image file and converts it to RGB, giving the bytes that Pillow 13.0.0 gives.
///
/// Errors name the file and say what was found in its place when it is missing, a directory, not a
/// picture, in an unsupported format or mode, truncated or broken, or larger than Pillow opens.
pub fn open(path: &Path) -> Result<OpenedImage> {
    let metadata = std::fs::metadata(path).map_err(|error| {
        let next = match error.kind() {
            IoErrorKind::NotFound => "check the path",
            IoErrorKind::PermissionDenied => "make the file readable",
            _ => "check the path and the disk",
        };
        Error::image(path, io_reason(&error), next)
    })?;
    if metadata.is_dir() {
        return Err(Error::image(
            path,
            "expected an image file, found a directory",
            "name a file in it",
        ));
    }
    if !metadata.is_file() {
        let next = "save it to a file first: the decoders go back and forth in it";
        return Err(Error::image(path, "expected a regular file, found a pipe or device", next));
    }
    let mut file = File::open(path)
        .map_err(|error| Error::image(path, io_reason(&error), "make the file readable"))?;
    let mut head = Vec::new();
    file.by_ref()
        .take(SNIFFED_BYTES as u64)
        .read_to_end(&mut head)
        .and_then(|_| file.rewind())
        .map_err(|error| Error::image(path, io_reason(&error), "check the disk"))?;
    match sniff(&head) {
        // The decoders are other people's code fed with other people's bytes.
        Sniffed::Image(format) => catch_unwind(AssertUnwindSafe(|| dispatch(path, file, format)))
            .unwrap_or_else(|_| Err(broken(path, format, "the decoder panicked"))),
        Sniffed::Unsupported(name) => Err(Error::image(
            path,
            format!("{name} is not supported"),
            "convert it to PNG first, for example with Pillow",
        )),
        Sniffed::NotAnImage(what) => {
            let next = if what.starts_with("a git-lfs") {
                "fetch the picture: git lfs pull"
            } else {
                "name an image file"
            };
            Err(Error::image(path, format!("expected an image, found {what}"), next))
        }
        Sniffed::Unknown if head.is_empty() => {
            Err(Error::image(path, "the file is empty", "save or download it again"))
        }
        Sniffed::Unknown => Err(Error::image(
            path,
            "not an image in any format that is supported \
             (PNG, JPEG, BMP, GIF, WebP, TIFF, PPM/PGM/PBM, TGA)",
            "convert it to PNG first",
        )),
    }
}

fn dispatch(path: &Path, file: File, format: ImageFormat) -> Result<OpenedImage> {
    match format {
        ImageFormat::Png => png::open(path, file),
        ImageFormat::Jpeg => jpeg::open(path, file),
        ImageFormat::Gif => gif::open(path, file),
        ImageFormat::Webp => webp::open(path, file),
        ImageFormat::Tiff => tiff::open(path, file),
        ImageFormat::Bmp => bmp::open(path, &read_whole(path, file, format)?),
        ImageFormat::Ppm => pnm::open(path, &read_whole(path, file, format)?),
        ImageFormat::Tga => tga::open(path, &read_whole(path, file, format)?),
    }
}

fn read_whole(path: &Path, file: File, format: ImageFormat) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    let length = file
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut data)
        .map_err(|error| failed_read(path, format, &error))?;
    if length as u64 > MAX_FILE_BYTES {
        return Err(unsupported(path, format, "a file of more than 4 GiB"));
    }
    Ok(data)
}

/// The file ends before its last pixel. Pillow raises `image file is truncated` here.
pub(super) fn truncated(path: &Path, format: ImageFormat) -> Error {
    Error::image(
        path,
        format!("truncated: the {format} data ends before the last pixel"),
        "download or save the file again",
    )
}

/// The file contradicts its format.
pub(super) fn broken(path: &Path, format: ImageFormat, reason: impl std::fmt::Display) -> Error {
    Error::image(path, format!("broken {format} file: {reason}"), "save the file again")
}

/// A variant of the format that is not read here.
pub(super) fn unsupported(path: &Path, format: ImageFormat, what: impl std::fmt::Display) -> Error {
    Error::image(
        path,
        format!("{format} with {what} is not supported"),
        "convert it to PNG first, for example with Pillow",
    )
}

/// A picture within Pillow's limit that this machine cannot hold.
pub(super) fn no_memory(path: &Path) -> Error {
    Error::image(path, "no memory for a picture of this size", "reduce the picture first")
}

/// The file could not be read to its end.
pub(super) fn failed_read(path: &Path, format: ImageFormat, error: &std::io::Error) -> Error {
    match error.kind() {
        IoErrorKind::UnexpectedEof => truncated(path, format),
        IoErrorKind::OutOfMemory => no_memory(path),
        IoErrorKind::InvalidData | IoErrorKind::InvalidInput | IoErrorKind::Other => {
            broken(path, format, io_reason(error))
        }
        _ => Error::image(path, io_reason(error), "check the disk"),
    }
}

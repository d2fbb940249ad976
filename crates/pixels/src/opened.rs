//! What a reader gives, and what it says of a file that it cannot read.

use std::io::ErrorKind as IoErrorKind;
use std::path::Path;

use super::alpha8::Alpha8;
use super::dropped::Dropped;
use super::format::ImageFormat;
use super::rgb8::Rgb8;
use super::to_rgb::{ALPHA_IS_DROPPED, TRANSPARENT_IS_IGNORED};
use vae_fidelity_files::error::{Error, Result, io_reason};

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
    /// What the conversion left out of the pixels.
    pub dropped: Dropped,
    /// How its colours were coded, where it is a JPEG.
    pub jpeg: Option<JpegCoding>,
    /// What the user should know: alpha dropped, an orientation or a profile ignored, more frames,
    /// more pixels than Pillow is silent about. Sentences without a full stop.
    pub notes: Vec<String>,
}

impl OpenedImage {
    /// The picture as Pillow's `convert("RGBA")` gives it: its alpha, and all else without the note that
    /// alpha is dropped.
    ///
    /// # Errors
    ///
    /// Returns an error if the pixels were replaced by others of another size.
    pub fn into_rgba(mut self) -> Result<(Self, Alpha8)> {
        let alpha = self.dropped.alpha_of(&self.pixels)?;
        self.dropped.alpha = Vec::new();
        self.dropped.transparent = None;
        self.notes
            .retain(|note| !note.starts_with(ALPHA_IS_DROPPED) && note != TRANSPARENT_IS_IGNORED);
        Ok((self, alpha))
    }
}

/// What the encoder of a JPEG file rounded to (ITU T.81): enough to code another picture likewise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JpegCoding {
    /// Steps of the cosines of luma and of chroma, row by row.
    pub steps: [[u16; 64]; 2],
    /// Whether the chroma has half the width, and half the height.
    pub chroma_halved: (bool, bool),
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
    Error::image(path, format!("broken {format} file: {reason}"), "download or save it again")
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

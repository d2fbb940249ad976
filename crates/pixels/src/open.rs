//! Opening a picture as the reference script does: `PIL.Image.open(path).convert("RGB")`.

use std::fs::File;
use std::io::{Cursor, ErrorKind as IoErrorKind, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::format::{ImageFormat, SNIFFED_BYTES, Sniffed, sniff};
use super::opened::{OpenedImage, broken, failed_read, no_memory, truncated, unsupported};
use super::stream::{Stream, length};
use vae_fidelity_files::error::{Error, Result, io_reason, next_by_number};
use vae_fidelity_files::memory::reserve;

/// The most that is read of a BMP, PPM or TGA file; the others are read as a stream.
const MAX_FILE_BYTES: u64 = 4 << 30;

/// How much of such a file is read at first.
const FIRST_BYTES: u64 = 4 << 20;

/// Opens an image file and converts it to RGB, giving the bytes that Pillow 13.0.0 gives.
///
/// Errors name the file and say what was found in its place when it is missing, a directory, not a
/// picture, in an unsupported format or mode, truncated or broken, or larger than Pillow opens.
pub fn open(path: &Path) -> Result<OpenedImage> {
    let (file, bytes) = file_at(path)?;
    decoded(path, file, bytes, dispatch)
}

/// As [`open`], of a file that lies in memory; errors call it `name`.
pub fn open_bytes(name: &Path, file: Vec<u8>) -> Result<OpenedImage> {
    let bytes = file.len() as u64;
    decoded(name, Box::new(Cursor::new(file)), bytes, dispatch)
}

/// The file at `path`, and how many bytes it has.
pub(super) fn file_at(path: &Path) -> Result<(Stream, u64)> {
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
    let file = File::open(path).map_err(|error| {
        let next = next_by_number(&error).unwrap_or("make the file readable");
        Error::image(path, io_reason(&error), next)
    })?;
    Ok((Box::new(file), metadata.len()))
}

/// What `decode` makes of a file of `bytes` bytes whose format its first ones tell.
pub(super) fn decoded<T>(
    path: &Path,
    mut file: Stream,
    bytes: u64,
    decode: impl FnOnce(&Path, Stream, ImageFormat) -> Result<T>,
) -> Result<T> {
    let mut head = Vec::new();
    // No more than it has: those that a kernel makes up as they are read have no size, and reading
    // `/proc/kmsg` waits for ever where another program has taken what was in it.
    file.by_ref()
        .take(bytes.min(SNIFFED_BYTES as u64))
        .read_to_end(&mut head)
        .and_then(|_| file.rewind())
        .map_err(|error| Error::image(path, io_reason(&error), "check the disk"))?;
    match sniff(&head) {
        // The decoders are other people's code fed with other people's bytes.
        Sniffed::Image(format) => catch_unwind(AssertUnwindSafe(|| decode(path, file, format)))
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

/// The picture in a file of that format: of several the first.
pub(super) fn dispatch(path: &Path, file: Stream, format: ImageFormat) -> Result<OpenedImage> {
    match format {
        #[cfg(feature = "png")]
        ImageFormat::Png => crate::png::open(path, file),
        #[cfg(feature = "jpeg")]
        ImageFormat::Jpeg => crate::jpeg::open(path, file),
        #[cfg(feature = "gif")]
        ImageFormat::Gif => crate::gif::open(path, file),
        #[cfg(feature = "webp")]
        ImageFormat::Webp => crate::webp::open(path, file),
        #[cfg(feature = "tiff")]
        ImageFormat::Tiff => crate::tiff::open(path, file),
        #[cfg(feature = "bmp")]
        ImageFormat::Bmp => from_beginning(path, file, format, crate::bmp::open),
        #[cfg(feature = "pnm")]
        ImageFormat::Ppm => from_beginning(path, file, format, crate::pnm::open),
        #[cfg(feature = "tga")]
        ImageFormat::Tga => from_beginning(path, file, format, crate::tga::open),
        #[allow(unreachable_patterns, reason = "only where a format was left out")]
        left_out => {
            drop(file);
            let feature = left_out.feature();
            Err(Error::image(
                path,
                format!("{left_out} is left out of this build"),
                format!(
                    "convert it to PNG, or build vae-fidelity-pixels with the feature {feature}"
                ),
            ))
        }
    }
}

/// What `decode` makes of the beginning of a file that is as long as the picture needs: who appends
/// gigabytes to a small picture does not have them read.
#[cfg(any(feature = "bmp", feature = "pnm", feature = "tga"))]
fn from_beginning(
    path: &Path,
    mut file: Stream,
    format: ImageFormat,
    decode: impl Fn(&Path, &[u8]) -> Result<OpenedImage>,
) -> Result<OpenedImage> {
    let failed = |error: std::io::Error| failed_read(path, format, &error);
    let length = length(&mut file).map_err(failed)?;
    let mut data = Vec::new();
    let mut wanted = FIRST_BYTES;
    loop {
        let more = wanted.min(length).saturating_sub(data.len() as u64);
        let room = usize::try_from(more).ok().and_then(|more| reserve(&mut data, more).ok());
        room.ok_or_else(|| no_memory(path))?;
        let before = data.len();
        file.by_ref().take(more).read_to_end(&mut data).map_err(failed)?;
        let at_end = data.len() as u64 >= length || data.len() == before;
        match decode(path, &data) {
            Err(error) if !at_end && error == truncated(path, format) => {
                if wanted >= MAX_FILE_BYTES {
                    return Err(unsupported(path, format, "a file of more than 4 GiB"));
                }
                wanted *= 4;
            }
            decoded => return decoded,
        }
    }
}

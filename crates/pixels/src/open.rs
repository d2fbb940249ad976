//! Opening a picture as the reference script does: `PIL.Image.open(path).convert("RGB")`.

use std::fs::File;
use std::io::{ErrorKind as IoErrorKind, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::format::{ImageFormat, SNIFFED_BYTES, Sniffed, sniff};
use super::opened::{OpenedImage, broken, failed_read, unsupported};
use vae_fidelity_files::error::{Error, Result, io_reason};

/// The largest file that is read whole. BMP, PPM and TGA are; the others are read as a stream.
const MAX_FILE_BYTES: u64 = 4 << 30;

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
        ImageFormat::Bmp => crate::bmp::open(path, &read_whole(path, file, format)?),
        #[cfg(feature = "pnm")]
        ImageFormat::Ppm => crate::pnm::open(path, &read_whole(path, file, format)?),
        #[cfg(feature = "tga")]
        ImageFormat::Tga => crate::tga::open(path, &read_whole(path, file, format)?),
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

#[cfg(any(feature = "bmp", feature = "pnm", feature = "tga"))]
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

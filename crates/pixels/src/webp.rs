//! WebP files.

use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use image_webp::{DecodingError, WebPDecoder};

use super::exif::{ICC_NOTE, orientation, orientation_note};
use super::format::ImageFormat;
use super::limit::check_pixels;
use super::opened::{OpenedImage, broken, failed_read, no_memory, truncated, unsupported};
use super::stream::{Stream, length};
use super::to_rgb::ToRgb;
use vae_fidelity_files::error::{Error, Result};
use vae_fidelity_files::memory::reserve;

/// Opens a still WebP file, lossy or lossless.
///
/// Fails for animations, and as [`super::open()`] does.
pub(super) fn open(path: &Path, mut file: Stream) -> Result<OpenedImage> {
    check_length(path, &mut file)?;
    let frame = frame_size(&mut file).map_err(|e| failed_read(path, ImageFormat::Webp, &e))?;
    let failed = |error| failed(path, error);
    let mut decoder = WebPDecoder::new(BufReader::new(file)).map_err(failed)?;
    let (width, height) = decoder.dimensions();
    let mut notes: Vec<_> = check_pixels(path, width.into(), height.into())?.into_iter().collect();
    if decoder.is_animated() {
        return Err(unsupported(path, ImageFormat::Webp, "an animation"));
    }
    // The decoder would make room for the frame before it compares the two.
    if let Some((w, h)) = frame.filter(|&size| size != (width, height)) {
        let reason = format!("a frame of {w} x {h} pixels in a picture of {width} x {height}");
        return Err(broken(path, ImageFormat::Webp, reason));
    }
    let profile = decoder.icc_profile().map_err(failed)?;
    notes.extend(profile.is_some().then(|| ICC_NOTE.into()));
    let exif = decoder.exif_metadata().map_err(failed)?;
    let turned = exif.as_deref().and_then(orientation);
    notes.extend(turned.map(orientation_note));

    let size = decoder.output_buffer_size().ok_or_else(|| no_memory(path))?;
    let mut data = Vec::new();
    reserve(&mut data, size).map_err(|_| no_memory(path))?;
    data.resize(size, 0);
    decoder.read_image(&mut data).map_err(failed)?;
    let mut out = ToRgb::new(path, width as usize, height as usize)?;
    let mode = if decoder.has_alpha() {
        out.rgba(&data);
        "RGBA"
    } else {
        out.rgb(&data);
        "RGB"
    };
    let (pixels, lost, dropped) = out.finish()?;
    notes.extend(lost);
    let dropped = dropped.with_profile(profile);
    Ok(OpenedImage {
        pixels,
        format: ImageFormat::Webp,
        mode,
        orientation: turned,
        dropped,
        jpeg: None,
        notes,
    })
}

/// Refuses a file that is shorter than it says. The decoder would go by what it needs.
fn check_length(path: &Path, file: &mut Stream) -> Result<()> {
    let failed = |error: io::Error| failed_read(path, ImageFormat::Webp, &error);
    let mut head = [0; 20];
    file.read_exact(&mut head).map_err(failed)?;
    file.rewind().map_err(failed)?;
    let length = length(file).map_err(failed)?;
    // "RIFF", the length of the rest, "WEBP"; then the first chunk's name and length.
    for at in [4, 16] {
        let declared = u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        if u64::from(declared) + at as u64 + 4 > length {
            return Err(truncated(path, ImageFormat::Webp));
        }
    }
    Ok(())
}

/// Width and height in the header of the first frame; `None` where there is none to be found. Leaves
/// `file` at its start.
fn frame_size(file: &mut Stream) -> io::Result<Option<(u32, u32)>> {
    let length = length(file)?;
    let mut at = 12;
    let mut size = None;
    while at + 18 <= length {
        let mut head = [0; 18];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut head)?;
        let u32_at =
            |i: usize| u32::from_le_bytes([head[i], head[i + 1], head[i + 2], head[i + 3]]);
        // RFC 9649: 14 bits a side, behind three bytes and a start code or behind a signature.
        let sides = match &head[..4] {
            b"VP8 " => Some((u32_at(14) & 0x3FFF, u32_at(14) >> 16 & 0x3FFF)),
            b"VP8L" => Some(((u32_at(9) & 0x3FFF) + 1, (u32_at(9) >> 14 & 0x3FFF) + 1)),
            _ => None,
        };
        if sides.is_some() {
            size = sides;
            break;
        }
        let body = u64::from(u32_at(4));
        at += 8 + body + body % 2;
    }
    file.rewind()?;
    Ok(size)
}

fn failed(path: &Path, error: DecodingError) -> Error {
    match error {
        DecodingError::IoError(error) => failed_read(path, ImageFormat::Webp, &error),
        DecodingError::MemoryLimitExceeded => no_memory(path),
        other => broken(path, ImageFormat::Webp, other.to_string().to_lowercase()),
    }
}

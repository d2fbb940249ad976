//! What all WebP files have: lengths and sizes that are checked before anything is decoded.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use image_webp::DecodingError;

use super::format::ImageFormat;
use super::opened::{broken, failed_read, no_memory, truncated};
use super::stream::{Stream, length};
use vae_fidelity_files::error::{Error, Result};

/// Refuses a file that is shorter than it says. The decoder would go by what it needs.
pub(super) fn check_length(path: &Path, file: &mut Stream) -> Result<()> {
    let failed = |error: io::Error| failed_read(path, ImageFormat::Webp, &error);
    let mut head = [0; 20];
    file.read_exact(&mut head).map_err(failed)?;
    file.rewind().map_err(failed)?;
    let length = length(file).map_err(failed)?;
    // "RIFF", the length of the rest, "WEBP"; then the first chunk's name and length.
    for at in [4, 16] {
        if u64::from(u32_at(&head, at)) + at as u64 + 4 > length {
            return Err(truncated(path, ImageFormat::Webp));
        }
    }
    Ok(())
}

/// Width and height in the header of the first frame; `None` where there is none to be found. Leaves
/// `file` at its start.
pub(super) fn frame_size(file: &mut Stream) -> io::Result<Option<(u32, u32)>> {
    let length = length(file)?;
    let mut at = 12;
    let mut size = None;
    while at + 18 <= length {
        let mut head = [0; 18];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut head)?;
        size = sides(&head);
        if size.is_some() {
            break;
        }
        let body = u64::from(u32_at(&head, 4));
        at += 8 + body + body % 2;
    }
    file.rewind()?;
    Ok(size)
}

/// Width and height that the beginning of a chunk says, where it is one of colours (RFC 9649): 14 bits a side,
/// behind three bytes and a start code or behind a signature.
pub(super) fn sides(chunk: &[u8; 18]) -> Option<(u32, u32)> {
    match &chunk[..4] {
        b"VP8 " => Some((u32_at(chunk, 14) & 0x3FFF, u32_at(chunk, 14) >> 16 & 0x3FFF)),
        b"VP8L" => Some(((u32_at(chunk, 9) & 0x3FFF) + 1, (u32_at(chunk, 9) >> 14 & 0x3FFF) + 1)),
        _ => None,
    }
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// What the decoder says of a broken file.
pub(super) fn failed(path: &Path, error: DecodingError) -> Error {
    match error {
        DecodingError::IoError(error) => failed_read(path, ImageFormat::Webp, &error),
        DecodingError::MemoryLimitExceeded => no_memory(path),
        other => broken(path, ImageFormat::Webp, other.to_string().to_lowercase()),
    }
}

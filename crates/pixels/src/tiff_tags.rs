//! Checks a TIFF file's first directory before the decoder reads it: the decoder sets aside memory
//! for as many values as a tag claims to have, which may be 4,294,967,295 in a file of 100 bytes.

use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::format::ImageFormat;
use super::opened::{broken, failed_read};
use super::stream::{Stream, length};
use vae_fidelity_files::error::Result;

/// Fails if a tag claims more values than `file` has bytes for. Leaves `file` at its start; any other
/// fault of the directory is left to the decoder.
pub(super) fn check(path: &Path, file: &mut Stream) -> Result<()> {
    let failed = |error: io::Error| failed_read(path, ImageFormat::Tiff, &error);
    let length = length(file).map_err(failed)?;
    for (tag, bytes) in claims(file).map_err(failed)? {
        if bytes > length {
            return Err(broken(
                path,
                ImageFormat::Tiff,
                format!("tag {tag} claims {bytes} bytes of values, the whole file has {length}"),
            ));
        }
    }
    file.rewind().map_err(failed)
}

/// Each tag of the first directory, and how many bytes its values take.
fn claims(file: &mut Stream) -> io::Result<Vec<(u16, u64)>> {
    let head: [u8; 8] = array(file)?;
    let bytes = Numbers { little: head[0] == b'I' };
    // BigTIFF has offsets and counts of 8 bytes.
    let big = bytes.u16(&head[2..]) == 43;
    let (start, entries) = if big {
        let start = bytes.u64(&array::<8>(file)?);
        file.seek(SeekFrom::Start(start))?;
        (start.saturating_add(8), bytes.u64(&array::<8>(file)?))
    } else {
        let start = bytes.u32(&head[4..]);
        file.seek(SeekFrom::Start(start.into()))?;
        (u64::from(start) + 2, bytes.u16(&array::<2>(file)?).into())
    };
    let size = if big { 20 } else { 12 };
    let mut directory = Vec::new();
    let left = length(file)?.saturating_sub(start);
    file.take(entries.saturating_mul(size).min(left)).read_to_end(&mut directory)?;
    Ok(directory
        .chunks_exact(size as usize)
        .map(|entry| {
            let count = if big { bytes.u64(&entry[4..]) } else { bytes.u32(&entry[4..]).into() };
            (bytes.u16(entry), count.saturating_mul(width(bytes.u16(&entry[2..]))))
        })
        .collect())
}

/// Bytes of a value of each type (TIFF 6.0, section 2; BigTIFF adds 16 to 18).
fn width(kind: u16) -> u64 {
    match kind {
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16..=18 => 8,
        _ => 1,
    }
}

fn array<const N: usize>(file: &mut Stream) -> io::Result<[u8; N]> {
    let mut array = [0; N];
    file.read_exact(&mut array)?;
    Ok(array)
}

/// Reads numbers in the file's byte order from the front of a slice that is long enough.
#[derive(Clone, Copy)]
struct Numbers {
    little: bool,
}

impl Numbers {
    fn u64(self, bytes: &[u8]) -> u64 {
        self.number(&bytes[..8])
    }

    fn u32(self, bytes: &[u8]) -> u32 {
        self.number(&bytes[..4]) as u32
    }

    fn u16(self, bytes: &[u8]) -> u16 {
        self.number(&bytes[..2]) as u16
    }

    fn number(self, bytes: &[u8]) -> u64 {
        let add = |number: u64, &byte: &u8| number << 8 | u64::from(byte);
        if self.little { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) }
    }
}

//! Where the bytes of a picture come from: a file, or memory.

use std::io::{Read, Result, Seek, SeekFrom};

/// What decoders read: bytes, back and forth.
pub(super) trait ReadSeek: Read + Seek {}

impl<R: Read + Seek> ReadSeek for R {}

/// The bytes of a picture.
pub(super) type Stream = Box<dyn ReadSeek>;

/// How many bytes `stream` has; its position stays.
pub(super) fn length(stream: &mut Stream) -> Result<u64> {
    let position = stream.stream_position()?;
    let length = stream.seek(SeekFrom::End(0))?;
    stream.seek(SeekFrom::Start(position))?;
    Ok(length)
}

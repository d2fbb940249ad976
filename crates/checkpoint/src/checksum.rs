//! Checksums that a file stores of its parts.

use std::ops::Range;

use super::bytes::Bytes;

/// A range of a file and the CRC-32 that the file states for it.
#[derive(Debug)]
pub(super) struct Checksum {
    /// What the file calls this part, for the message.
    name: String,
    range: Range<usize>,
    crc32: u32,
}

impl Checksum {
    pub fn new(name: &str, range: &Range<usize>, crc32: u32) -> Self {
        Self { name: name.to_owned(), range: range.clone(), crc32 }
    }

    /// The bytes of the file that it covers.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// Compares the bytes of `file` with the checksum; the error says what differs.
    ///
    /// torch.load checks none, and loads a damaged file silently. A checksum of 0 means none:
    /// `torch.serialization.set_crc32_options(False)` writes it.
    pub fn check(&self, file: &Bytes) -> Result<(), String> {
        // A fuzzer would never get past a checksum.
        if cfg!(fuzzing) || self.crc32 == 0 {
            return Ok(());
        }
        let found = crc32fast::hash(&file.as_slice()[self.range()]);
        match found == self.crc32 {
            true => Ok(()),
            false => Err(format!(
                "{} was damaged after it was written: its checksum is {found:08x}, the archive says \
                 {:08x}",
                self.name, self.crc32
            )),
        }
    }
}

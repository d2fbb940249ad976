//! How many scans a progressive JPEG has, without decoding it.
//!
//! Each scan goes over the whole picture again, and a few bytes suffice for one: a small file can keep a
//! decoder busy for minutes. Encoders write 3 to 20.

use std::io::{self, BufRead, Seek, SeekFrom};

/// More than any encoder writes.
pub(super) const MAX_SCANS: usize = 100;

/// Counts the scans in `file` up to one more than [`MAX_SCANS`]; its position is put back to the start.
/// What is no JPEG ends the count: decoding says why.
pub(super) fn count(file: &mut (impl BufRead + Seek)) -> io::Result<usize> {
    let counted = counted(file);
    file.seek(SeekFrom::Start(0))?;
    match counted {
        Err((scans, error)) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(scans),
        Err((_, error)) => Err(error),
        Ok(scans) => Ok(scans),
    }
}

/// What was counted before an error comes with it.
fn counted(file: &mut (impl BufRead + Seek)) -> Result<usize, (usize, io::Error)> {
    let mut scans = 0;
    // The start of image has no length.
    file.seek_relative(2).map_err(|error| (scans, error))?;
    loop {
        let marker = next_marker(file).map_err(|error| (scans, error))?;
        match marker {
            // The end, restarts and a lone start.
            0xd9 => return Ok(scans),
            0xd0..=0xd8 | 0x01 => continue,
            0xda => {
                scans += 1;
                if scans > MAX_SCANS {
                    return Ok(scans);
                }
            }
            _ => {}
        }
        let mut length = [0; 2];
        file.read_exact(&mut length).map_err(|error| (scans, error))?;
        let rest = i64::from(u16::from_be_bytes(length)).saturating_sub(2).max(0);
        file.seek_relative(rest).map_err(|error| (scans, error))?;
    }
}

/// The code of the next marker. Within a scan's data 0xff is followed by 0.
fn next_marker(file: &mut impl BufRead) -> io::Result<u8> {
    loop {
        skip_to_ff(file)?;
        let mut code = 0xff;
        while code == 0xff {
            let mut byte = [0];
            file.read_exact(&mut byte)?;
            code = byte[0];
        }
        if code != 0 {
            return Ok(code);
        }
    }
}

fn skip_to_ff(file: &mut impl BufRead) -> io::Result<()> {
    loop {
        let bytes = file.fill_buf()?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let found = bytes.iter().position(|&byte| byte == 0xff);
        let used = found.map_or(bytes.len(), |at| at + 1);
        file.consume(used);
        if found.is_some() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn scans_are_counted_by_their_markers() {
        let start = b"\xff\xd8\xff\xe1\x00\x06\xff\xda\xff\xda";
        let scan = b"\xff\xda\x00\x03\x00some\xff\x00data\xff\xd0more";
        let file = |scans: usize| [&start[..], &scan.repeat(scans), b"\xff\xd9\xff\xda"].concat();
        for scans in [0, 1, 20, MAX_SCANS] {
            assert_eq!(count(&mut Cursor::new(file(scans))).unwrap(), scans);
        }
        assert_eq!(count(&mut Cursor::new(file(5000))).unwrap(), MAX_SCANS + 1);
        // Cut short, and no JPEG at all.
        assert_eq!(count(&mut Cursor::new(&file(3)[..60])).unwrap(), 3);
        assert_eq!(count(&mut Cursor::new(b"x")).unwrap(), 0);
    }
}

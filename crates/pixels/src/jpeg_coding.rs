//! How a JPEG file was coded, without decoding it: what its encoder rounded to, and how many scans it
//! has.
//!
//! Each scan goes over the whole picture again, and a few bytes suffice for one: a small file can keep a
//! decoder busy for minutes. Encoders write 3 to 20.

use std::io::{self, BufRead, Seek, SeekFrom};

use super::opened::JpegCoding;

/// More than any encoder writes.
pub(super) const MAX_SCANS: usize = 100;

/// What was read up to the end of the file, or of reading.
#[derive(Debug, Default)]
pub(super) struct Markers {
    pub scans: usize,
    /// By their number; those that were read last, which are the ones in use.
    tables: [Option<[u16; 64]>; 4],
    /// Factors across and down, and the table's number, of each component.
    components: Vec<(u8, u8, u8)>,
}

impl Markers {
    /// Reads the markers of `file` up to one scan more than [`MAX_SCANS`]; its position is put back to the
    /// start. What is no JPEG ends it: decoding says why.
    pub fn read(file: &mut (impl BufRead + Seek)) -> io::Result<Self> {
        let mut markers = Self::default();
        let ended = markers.read_all(file);
        file.seek(SeekFrom::Start(0))?;
        match ended {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
            _ => Ok(markers),
        }
    }

    /// How the picture was coded; `None` where it is none of luma and two alike chromas, or by rarer factors
    /// than 1 and 2.
    pub fn coding(&self) -> Option<JpegCoding> {
        let [(across, down, luma), blue, red] = self.components[..] else { return None };
        let (1, 1, chroma) = blue else { return None };
        if red != blue || ![1, 2].contains(&across) || ![1, 2].contains(&down) {
            return None;
        }
        let table = |number: u8| *self.tables.get(usize::from(number))?;
        Some(JpegCoding {
            steps: [table(luma)?, table(chroma)?],
            chroma_halved: (across == 2, down == 2),
        })
    }

    fn read_all(&mut self, file: &mut (impl BufRead + Seek)) -> io::Result<()> {
        // The start of image has no length.
        file.seek_relative(2)?;
        loop {
            let marker = next_marker(file)?;
            match marker {
                // The end, restarts and a lone start.
                0xd9 => return Ok(()),
                0xd0..=0xd8 | 0x01 => continue,
                0xda => {
                    self.scans += 1;
                    if self.scans > MAX_SCANS {
                        return Ok(());
                    }
                }
                _ => {}
            }
            let mut length = [0; 2];
            file.read_exact(&mut length)?;
            let rest = u16::from_be_bytes(length).saturating_sub(2);
            // Tables, and frames of Huffman codes. Later tables are of later scans of the same components.
            if marker == 0xdb || (0xc0..=0xc2).contains(&marker) {
                let mut segment = vec![0; usize::from(rest)];
                file.read_exact(&mut segment)?;
                match marker {
                    0xdb => self.take_tables(&segment),
                    _ => self.take_components(&segment),
                }
            } else {
                file.seek_relative(i64::from(rest))?;
            }
        }
    }

    /// DQT: precision and number, then 64 steps in zigzag order, again and again.
    fn take_tables(&mut self, mut segment: &[u8]) {
        while let Some((&kind, rest)) = segment.split_first() {
            let bytes = if kind >> 4 == 0 { 1 } else { 2 };
            let Some((steps, rest)) = rest.split_at_checked(64 * bytes) else { return };
            let mut table = [0; 64];
            for (step, place) in steps.chunks_exact(bytes).zip(ZIGZAG) {
                table[place] = step.iter().fold(0, |step, &byte| step << 8 | u16::from(byte));
            }
            if let Some(slot) = self.tables.get_mut(usize::from(kind & 15)) {
                *slot = Some(table);
            }
            segment = rest;
        }
    }

    /// SOF: depth, height and width, the number of components, then three bytes of each.
    fn take_components(&mut self, segment: &[u8]) {
        let [_, _, _, _, _, count, components @ ..] = segment else { return };
        let of = |c: &[u8]| (c[1] >> 4, c[1] & 15, c[2]);
        self.components = components.chunks_exact(3).take(usize::from(*count)).map(of).collect();
    }
}

/// Where each step of a table stands, row by row (ITU T.81, figure A.6).
const ZIGZAG: [usize; 64] = {
    let mut order = [0; 64];
    let (mut at, mut diagonal) = (0, 0);
    while diagonal < 15 {
        let least = usize::saturating_sub(diagonal, 7);
        let most = diagonal - least;
        let mut step = least;
        while step <= most {
            // Up the even diagonals, down the odd ones.
            let row = if diagonal % 2 == 0 { least + most - step } else { step };
            order[at] = 8 * row + diagonal - row;
            at += 1;
            step += 1;
        }
        diagonal += 1;
    }
    order
};

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

    fn scans(file: impl AsRef<[u8]>) -> usize {
        Markers::read(&mut Cursor::new(file)).unwrap().scans
    }

    #[test]
    fn scans_are_counted_by_their_markers() {
        let start = b"\xff\xd8\xff\xe1\x00\x06\xff\xda\xff\xda";
        let scan = b"\xff\xda\x00\x03\x00some\xff\x00data\xff\xd0more";
        let file = |scans: usize| [&start[..], &scan.repeat(scans), b"\xff\xd9\xff\xda"].concat();
        for count in [0, 1, 20, MAX_SCANS] {
            assert_eq!(scans(file(count)), count);
        }
        assert_eq!(scans(file(5000)), MAX_SCANS + 1);
        // Cut short, and no JPEG at all.
        assert_eq!(scans(&file(3)[..60]), 3);
        assert_eq!(scans(b"x"), 0);
    }

    #[test]
    fn tables_and_factors_are_those_of_the_components() {
        // Table 0 of bytes 1 to 64, table 1 of 16 bits.
        let luma: Vec<u8> = [0].into_iter().chain(1..=64).collect();
        let chroma: Vec<u8> =
            [0x11].into_iter().chain((300..364_u16).flat_map(u16::to_be_bytes)).collect();
        let tables = [luma, chroma].concat();
        let frame = |factors: [u8; 3]| {
            let component = |(i, factors): (usize, u8)| [i as u8, factors, u8::from(i > 0)];
            let components = factors.into_iter().enumerate().flat_map(component);
            [8, 0, 16, 0, 16, 3].into_iter().chain(components).collect::<Vec<u8>>()
        };
        let segment = |marker: u8, body: &[u8]| {
            let length = (body.len() as u16 + 2).to_be_bytes();
            [&[0xff, marker], &length[..], body].concat()
        };
        let coding = |factors: [u8; 3]| {
            let body = [segment(0xdb, &tables), segment(0xc0, &frame(factors))].concat();
            let file = [&b"\xff\xd8"[..], &body, b"\xff\xd9"].concat();
            Markers::read(&mut Cursor::new(file)).unwrap().coding()
        };
        let found = coding([0x21, 0x11, 0x11]).unwrap();
        assert_eq!(found.chroma_halved, (true, false));
        assert_eq!(found.steps[0][..4], [1, 2, 6, 7]);
        assert_eq!((found.steps[0][8], found.steps[0][63]), (3, 64));
        assert_eq!((found.steps[1][1], found.steps[1][63]), (301, 363));
        assert!(coding([0x41, 0x11, 0x11]).is_none());
        assert!(coding([0x22, 0x21, 0x11]).is_none());
    }
}

//! The blocks of a GIF file as Pillow walks through them: `GifImagePlugin.py`, `_open` and `_seek`.

use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use ::gif::{DecodeOptions, DecodingError, MemoryLimit};

use super::canvas::Area;
use super::format::ImageFormat;
use super::opened::{broken, failed_read, no_memory, truncated};
use super::stream::Stream;
use vae_fidelity_files::error::{Error, Result};
use vae_fidelity_files::memory::reserve;

const GIF: ImageFormat = ImageFormat::Gif;

/// A frame before its pixels are unpacked.
pub(super) struct Block {
    pub(super) area: Area,
    pub(super) transparent: Option<u8>,
    /// What becomes of it before the next one; `None` where the file does not say.
    pub(super) disposal: Option<u8>,
    /// Its own palette or that of the file; `None` where colour i is grey of the value i, and where there
    /// is none.
    pub(super) palette: Option<Vec<u8>>,
    /// Whether its own palette is such a grey one, in a file whose palette is not.
    pub(super) grey_over_colours: bool,
    interlaced: bool,
    /// Where its compressed pixels begin, with the least code size.
    at: u64,
}

/// A GIF file, read block by block.
pub(super) struct Blocks<'p> {
    path: &'p Path,
    file: BufReader<Stream>,
    /// Width and height of the screen.
    pub(super) screen: (usize, usize),
    /// The index of the background's colour: 0 without a palette for all frames.
    pub(super) background: u8,
    palette: Option<Vec<u8>>,
    /// Where the sub-blocks of the last frame begin.
    last: Option<u64>,
}

impl<'p> Blocks<'p> {
    /// Reads up to the first frame.
    pub(super) fn new(path: &'p Path, file: Stream) -> Result<Self> {
        let mut blocks = Self {
            path,
            file: BufReader::new(file),
            screen: (0, 0),
            background: 0,
            palette: None,
            last: None,
        };
        let header: [u8; 13] = blocks.exactly()?;
        blocks.screen = (u16_at(&header, 6), u16_at(&header, 8));
        if header[10] & 128 != 0 {
            blocks.background = header[11];
            let palette = blocks.palette_of(header[10])?;
            blocks.palette = Some(palette).filter(|palette| !is_its_own_index(palette));
        }
        Ok(blocks)
    }

    /// The next frame; `None` where the file ends.
    pub(super) fn next(&mut self) -> Result<Option<Block>> {
        let first = self.last.is_none();
        if let Some(at) = self.last {
            self.seek(at)?;
            while self.sub_block()?.is_some() {}
        }
        let (mut transparent, mut disposal) = (None, None);
        loop {
            match self.byte()? {
                None | Some(b';') => return Ok(None),
                Some(b'!') => {
                    let label = self.byte()?.ok_or_else(|| truncated(self.path, GIF))?;
                    let block = self.sub_block()?;
                    match (label, block) {
                        (0xF9, Some(control)) => {
                            let &[flags, _, _, index, ..] = &control[..] else {
                                let reason = "a graphic control extension that is too short";
                                return Err(broken(self.path, GIF, reason));
                            };
                            if flags & 1 != 0 {
                                transparent = Some(index);
                            }
                            disposal =
                                Some(flags >> 2 & 7).filter(|&method| method != 0).or(disposal);
                        }
                        // A comment without text ends where it begins; other extensions do not.
                        (0xFE, None) => continue,
                        (0xFF, Some(name)) if first && name.starts_with(b"NETSCAPE2.0") => {
                            self.sub_block()?;
                        }
                        _ => {}
                    }
                    while self.sub_block()?.is_some() {}
                }
                Some(b',') => return self.frame(transparent, disposal).map(Some),
                Some(_) => {}
            }
        }
    }

    fn frame(&mut self, transparent: Option<u8>, disposal: Option<u8>) -> Result<Block> {
        let header: [u8; 9] = self.exactly()?;
        let area = Area {
            left: u16_at(&header, 0),
            top: u16_at(&header, 2),
            width: u16_at(&header, 4),
            height: u16_at(&header, 6),
        };
        let flags = header[8];
        let own = if flags & 128 != 0 { Some(self.palette_of(flags)?) } else { None };
        let grey = own.as_deref().is_some_and(is_its_own_index);
        let palette = if grey { None } else { own.or_else(|| self.palette.clone()) };
        let at =
            self.file.stream_position().map_err(|error| failed_read(self.path, GIF, &error))?;
        self.exactly::<1>()?;
        self.last = Some(at + 1);
        Ok(Block {
            area,
            transparent,
            disposal,
            palette,
            grey_over_colours: grey && self.palette.is_some(),
            interlaced: flags & 64 != 0,
            at,
        })
    }

    /// The pixels of a frame, as indices into its palette. The decoder gets it as a file of one frame.
    pub(super) fn indices(&mut self, block: &Block) -> Result<Vec<u8>> {
        let Area { width, height, .. } = block.area;
        let size = [width as u16, height as u16].map(u16::to_le_bytes).concat();
        let mut head =
            [b"GIF89a", &size[..], &[0x80, 0, 0, 0, 0, 0, 0, 0, 0, b',', 0, 0, 0, 0]].concat();
        head.extend(&size);
        head.push(if block.interlaced { 64 } else { 0 });
        self.seek(block.at)?;

        let failed = |error| failed(self.path, error);
        let mut options = DecodeOptions::new();
        // The buffer is made here, after the size has been checked.
        options.set_memory_limit(MemoryLimit::Unlimited);
        let file = Cursor::new(head).chain(&mut self.file);
        let mut decoder = options.read_info(file).map_err(failed)?;
        decoder.next_frame_info().map_err(failed)?;
        let mut indices = Vec::new();
        reserve(&mut indices, width * height).map_err(|_| no_memory(self.path))?;
        indices.resize(width * height, 0);
        decoder.read_into_buffer(&mut indices).map_err(failed)?;
        Ok(indices)
    }

    fn seek(&mut self, at: u64) -> Result<()> {
        let sought = self.file.seek(SeekFrom::Start(at));
        sought.map(drop).map_err(|error| failed_read(self.path, GIF, &error))
    }

    fn palette_of(&mut self, flags: u8) -> Result<Vec<u8>> {
        let mut palette = vec![0; 3 << ((flags & 7) + 1)];
        self.fill(&mut palette)?;
        Ok(palette)
    }

    /// The next sub-block; `None` for the empty one that ends a block, and where the file ends.
    fn sub_block(&mut self) -> Result<Option<Vec<u8>>> {
        let length = self.byte()?.unwrap_or(0);
        if length == 0 {
            return Ok(None);
        }
        let mut block = Vec::with_capacity(usize::from(length));
        let read = self.file.by_ref().take(length.into()).read_to_end(&mut block);
        read.map_err(|error| failed_read(self.path, GIF, &error))?;
        // Pillow unpacks no block that is cut off, and finds nothing behind it.
        Ok(Some(block).filter(|block| block.len() == usize::from(length)))
    }

    fn byte(&mut self) -> Result<Option<u8>> {
        let mut byte = [0];
        let read = self.file.read(&mut byte);
        let read = read.map_err(|error| failed_read(self.path, GIF, &error))?;
        Ok((read == 1).then_some(byte[0]))
    }

    fn exactly<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        let read = self.file.read_exact(bytes);
        read.map_err(|error| failed_read(self.path, GIF, &error))
    }
}

/// Whether color i is gray of the value i, so that indices can be used as they are.
fn is_its_own_index(palette: &[u8]) -> bool {
    palette.chunks_exact(3).enumerate().all(|(i, rgb)| rgb.iter().all(|&v| usize::from(v) == i))
}

/// What the decoder says of a broken file.
fn failed(path: &Path, error: DecodingError) -> Error {
    match error {
        DecodingError::Io(error) => failed_read(path, GIF, &error),
        DecodingError::UnexpectedEof => truncated(path, GIF),
        DecodingError::OutOfMemory | DecodingError::MemoryLimit => no_memory(path),
        other => broken(path, GIF, other.to_string().to_lowercase()),
    }
}

fn u16_at(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

//! BMP files. Written here, since the `image` crate rounds 5-bit samples where Pillow truncates, and
//! does not say in which mode Pillow opens a file.

use std::path::Path;

use super::format::ImageFormat;
use super::limit::check_pixels;
use super::opened::{OpenedImage, truncated, unsupported};
use super::to_rgb::{Palette, ToRgb, unpack};
use vae_fidelity_files::error::Result;

const FORMAT: ImageFormat = ImageFormat::Bmp;

/// Opens a BMP file of 1, 4, 8, 16, 24 or 32 bits, plain, with bit fields or run-length coded.
/// Follows `BmpImagePlugin.py`, `_bitmap` and `BmpRleDecoder`.
pub(super) fn open(path: &Path, data: &[u8]) -> Result<OpenedImage> {
    let header = Header::read(path, data)?;
    let notes = check_pixels(path, header.width.into(), header.height.into())?;
    let (width, height) = (header.width as usize, header.height as usize);
    let colours = (header.bits <= 8).then(|| header.palette(path, data)).transpose()?;
    let layout = if colours.is_none() { Some(header.layout(path, data)?) } else { None };
    let mode = match (&colours, layout) {
        (Some(Colours::Bilevel), _) => "1",
        (Some(Colours::Grey), _) => "L",
        (Some(Colours::Palette(_)), _) => "P",
        (None, Some(Layout::Bytes { alpha: Some(_), .. })) => "RGBA",
        (None, _) => "RGB",
    };

    let coded = matches!(header.compression, RLE8 | RLE4);
    let (body, stride) = if coded {
        let body = data.get(header.offset..).unwrap_or(&[]);
        (run_lengths(body, header.offset, width, height, header.compression == RLE4), width)
    } else {
        let stride = (width * usize::from(header.bits)).div_ceil(32) * 4;
        let body = data.get(header.offset..).unwrap_or(&[]);
        // The last row needs no padding.
        let needed = stride * (height - 1) + (width * usize::from(header.bits)).div_ceil(8);
        if body.len() < needed {
            return Err(truncated(path, FORMAT));
        }
        (body.to_vec(), stride)
    };
    if coded && body.len() < width * height {
        return Err(truncated(path, FORMAT));
    }

    let mut out = ToRgb::new(path, width, height)?;
    for y in 0..height {
        let y = if header.top_down { y } else { height - 1 - y };
        let row = &body[y * stride..body.len().min((y + 1) * stride)];
        let indices = || {
            if coded { row.to_vec() } else { unpack(row, header.bits as u8, width) }
        };
        match (&colours, layout) {
            (Some(Colours::Palette(palette)), _) => out.palette(&indices(), palette),
            (Some(Colours::Bilevel), _) => {
                out.grey(&indices().iter().map(|bit| bit * 255).collect::<Vec<_>>());
            }
            (Some(Colours::Grey), _) => out.grey(&indices()),
            (None, Some(layout)) => layout.push(&mut out, row, width),
            (None, None) => unreachable!("a file without a palette has a layout"),
        }
    }
    let (pixels, lost, dropped) = out.finish()?;
    Ok(OpenedImage {
        pixels,
        format: FORMAT,
        mode,
        orientation: None,
        dropped,
        jpeg: None,
        notes: notes.into_iter().chain(lost).collect(),
    })
}

const RAW: u32 = 0;
const RLE8: u32 = 1;
const RLE4: u32 = 2;
const BIT_FIELDS: u32 = 3;

struct Header {
    size: usize,
    width: u32,
    height: u32,
    top_down: bool,
    bits: u16,
    compression: u32,
    colours: usize,
    /// Bytes of a palette entry: 3 in OS/2 files.
    entry: usize,
    offset: usize,
}

impl Header {
    fn read(path: &Path, data: &[u8]) -> Result<Self> {
        let u16_at = |at: usize| u16_at(data, at).ok_or_else(|| truncated(path, FORMAT));
        let u32_at = |at: usize| u32_at(data, at).ok_or_else(|| truncated(path, FORMAT));
        let size = u32_at(14)?;
        let mut header = match size {
            12 => Self {
                size: 12,
                width: u16_at(18)?.into(),
                height: u16_at(20)?.into(),
                top_down: false,
                bits: u16_at(24)?,
                compression: RAW,
                colours: 0,
                entry: 3,
                offset: 0,
            },
            40 | 52 | 56 | 64 | 108 | 124 => {
                let height = u32_at(22)?;
                // A negative height: the rows go down.
                let top_down = height >> 24 == 0xFF;
                Self {
                    size: size as usize,
                    width: u32_at(18)?,
                    height: if top_down { height.wrapping_neg() } else { height },
                    top_down,
                    bits: u16_at(28)?,
                    compression: u32_at(30)?,
                    colours: u32_at(46)? as usize,
                    entry: 4,
                    offset: 0,
                }
            }
            _ => return Err(unsupported(path, FORMAT, format!("a header of {size} bytes"))),
        };
        if !matches!(header.bits, 1 | 4 | 8 | 16 | 24 | 32) {
            let what =
                format!("{} bits a pixel (Pillow opens 1, 4, 8, 16, 24 and 32)", header.bits);
            return Err(unsupported(path, FORMAT, what));
        }
        match (header.compression, header.bits) {
            (RAW, _) | (BIT_FIELDS, 16 | 24 | 32) | (RLE8 | RLE4, 1..=8) => {}
            (other, bits) => {
                let what = format!("compression {other} at {bits} bits a pixel");
                return Err(unsupported(path, FORMAT, what));
            }
        }
        if header.colours == 0 && header.bits <= 8 {
            header.colours = 1 << header.bits;
        }
        header.offset = u32_at(10)? as usize;
        // Some writers forget that the palette lies in between.
        if header.offset == 14 + header.size && header.bits <= 8 {
            header.offset += header.entry * header.colours;
        }
        if header.offset == 0 {
            return Err(unsupported(path, FORMAT, "no offset to its pixels"));
        }
        Ok(header)
    }

    fn palette(&self, path: &Path, data: &[u8]) -> Result<Colours> {
        if self.colours > 65536 {
            return Err(unsupported(path, FORMAT, format!("a palette of {}", self.colours)));
        }
        let start = 14 + self.size;
        let bytes = data.get(start..start + self.entry * self.colours);
        let bytes = bytes.ok_or_else(|| truncated(path, FORMAT))?;
        let entries = || bytes.chunks_exact(self.entry);
        // Two colors count as gray when they are black and white, more when each is its index.
        let step = if self.colours == 2 { 255 } else { 1 };
        let grey =
            entries().enumerate().all(|(i, e)| e[..3].iter().all(|&v| usize::from(v) == i * step));
        if !grey {
            let rgb: Vec<u8> = entries().flat_map(|e| [e[2], e[1], e[0]]).collect();
            return Ok(Colours::Palette(Box::new(Palette::from_rgb(&rgb))));
        }
        let coded = self.compression != RAW;
        match (self.colours, self.bits) {
            (..=2, 1) if !coded => Ok(Colours::Bilevel),
            (3.., 8) => Ok(Colours::Grey),
            (3.., _) if coded => Ok(Colours::Grey),
            // Pillow would read such a file's packed samples as bytes.
            (n, bits) => {
                let what = format!("a palette of {n} greys at {bits} bits (which Pillow misreads)");
                Err(unsupported(path, FORMAT, what))
            }
        }
    }

    fn layout(&self, path: &Path, data: &[u8]) -> Result<Layout> {
        if self.compression != BIT_FIELDS {
            return Ok(match self.bits {
                16 => Layout::Bits { green: 5 },
                24 => Layout::Bytes { size: 3, rgb: [2, 1, 0], alpha: None },
                _ => Layout::Bytes { size: 4, rgb: [2, 1, 0], alpha: None },
            });
        }
        let mask = |i: usize| u32_at(data, 54 + i * 4).ok_or_else(|| truncated(path, FORMAT));
        let alpha = if self.size >= 56 { mask(3)? } else { 0 };
        let bytes = |rgb, alpha| Ok(Layout::Bytes { size: 4, rgb, alpha });
        match (self.bits, [mask(0)?, mask(1)?, mask(2)?, alpha]) {
            (32, [0x00FF_0000, 0xFF00, 0xFF, 0]) => bytes([2, 1, 0], None),
            (32, [0xFF00_0000, 0x00FF_0000, 0xFF00, 0]) => bytes([3, 2, 1], None),
            (32, [0xFF00_0000, 0xFF00, 0xFF, 0]) => bytes([3, 1, 0], None),
            (32, [0xFF00_0000, 0x00FF_0000, 0xFF00, 0xFF]) => bytes([3, 2, 1], Some(0)),
            (32, [0xFF, 0xFF00, 0x00FF_0000, 0xFF00_0000]) => bytes([0, 1, 2], Some(3)),
            (32, [0x00FF_0000, 0xFF00, 0xFF, 0xFF00_0000]) => bytes([2, 1, 0], Some(3)),
            (32, [0xFF00_0000, 0xFF00, 0xFF, 0x00FF_0000]) => bytes([3, 1, 0], Some(2)),
            (32, [0, 0, 0, 0]) => bytes([2, 1, 0], Some(3)),
            (24, [0x00FF_0000, 0xFF00, 0xFF, _]) => {
                Ok(Layout::Bytes { size: 3, rgb: [2, 1, 0], alpha: None })
            }
            (16, [0xF800, 0x07E0, 0x1F, _]) => Ok(Layout::Bits { green: 6 }),
            (16, [0x7C00, 0x03E0, 0x1F, _]) => Ok(Layout::Bits { green: 5 }),
            (bits, [r, g, b, a]) => {
                let what = format!("bit fields {r:#x}, {g:#x}, {b:#x}, {a:#x} at {bits} bits");
                Err(unsupported(path, FORMAT, what))
            }
        }
    }
}

/// How the indices of a file with a palette become colours.
enum Colours {
    Bilevel,
    Grey,
    Palette(Box<Palette>),
}

/// Where the samples of a file without a palette lie.
#[derive(Clone, Copy)]
enum Layout {
    /// Whole bytes: the place of red, green, blue and perhaps alpha in a pixel.
    Bytes { size: usize, rgb: [usize; 3], alpha: Option<usize> },
    /// 16 bits: five of red, five or six of green, five of blue.
    Bits { green: u32 },
}

impl Layout {
    fn push(self, out: &mut ToRgb, row: &[u8], width: usize) {
        match self {
            Self::Bytes { size, rgb: [r, g, b], alpha } => {
                let pixels = row.chunks_exact(size).take(width);
                match alpha {
                    None => out.rgb(&pixels.flat_map(|p| [p[r], p[g], p[b]]).collect::<Vec<_>>()),
                    Some(a) => {
                        let rgba = pixels.flat_map(|p| [p[r], p[g], p[b], p[a]]);
                        out.rgba(&rgba.collect::<Vec<_>>());
                    }
                }
            }
            Self::Bits { green } => {
                let rgb = row.chunks_exact(2).take(width).flat_map(|pixel| {
                    let value = u16::from_le_bytes([pixel[0], pixel[1]]);
                    [
                        widened(value >> (5 + green), 5),
                        widened(value >> 5, green),
                        widened(value, 5),
                    ]
                });
                out.rgb(&rgb.collect::<Vec<_>>());
            }
        }
    }
}

/// The low `bits` bits as 8, truncated (`Unpack.c`, `ImagingUnpackBGR15`).
pub(super) fn widened(value: u16, bits: u32) -> u8 {
    let most = (1_u32 << bits) - 1;
    ((u32::from(value) & most) * 255 / most) as u8
}

/// Undoes run-length coding: one index a byte, rows from the bottom, at most `width * height`.
///
/// `offset` is where `body` lies in the file: absolute runs are padded to even file positions.
fn run_lengths(body: &[u8], offset: usize, width: usize, height: usize, nibbles: bool) -> Vec<u8> {
    let total = width * height;
    let mut out = Vec::new();
    let mut at = 0;
    let mut x = 0;
    while out.len() < total {
        let Some([count, value]) = pair_at(body, at) else { break };
        at += 2;
        match (count, value) {
            (0, 0) => {
                out.resize(out.len().next_multiple_of(width), 0);
                x = 0;
            }
            (0, 1) => break,
            (0, 2) => {
                let Some([right, up]) = pair_at(body, at) else { break };
                at += 2;
                let skipped = usize::from(right) + usize::from(up) * width;
                out.resize(out.len() + skipped.min(total - out.len()), 0);
                x = out.len() % width;
            }
            (0, length) => {
                let count = usize::from(length).min(total - out.len());
                let bytes = if nibbles { count.div_ceil(2) } else { count };
                let run = &body[at.min(body.len())..(at + bytes).min(body.len())];
                if nibbles {
                    out.extend(unpack(run, 4, count.min(run.len() * 2)));
                } else {
                    out.extend_from_slice(run);
                }
                if run.len() < bytes || out.len() == total {
                    break;
                }
                at += bytes;
                x += usize::from(length);
                at += (offset + at) % 2;
            }
            (count, value) => {
                let count = usize::from(count).min(width.saturating_sub(x));
                let pair = if nibbles { [value >> 4, value & 15] } else { [value; 2] };
                out.extend(pair.iter().cycle().take(count));
                x += count;
            }
        }
    }
    out
}

fn pair_at(data: &[u8], at: usize) -> Option<[u8; 2]> {
    data.get(at..at + 2).map(|b| [b[0], b[1]])
}

fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    data.get(at..at + 2).map(|b| u16::from_le_bytes([b[0], b[1]]))
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..at + 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

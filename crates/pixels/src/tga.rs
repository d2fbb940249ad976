//! TGA files. Written here, since the `image` crate rounds 5-bit samples where Pillow truncates, and
//! does not say in which mode Pillow opens a file.

use std::path::Path;

use super::bmp::widened;
use super::format::ImageFormat;
use super::limit::check_pixels;
use super::opened::{OpenedImage, broken, truncated, unsupported};
use super::to_rgb::{Palette, ToRgb};
use vae_fidelity_files::error::Result;

const FORMAT: ImageFormat = ImageFormat::Tga;

/// Opens a TGA file: grey of 8 bits, with or without alpha, palettes, 16, 24 and 32 bits, plain or
/// run-length coded, from any corner. Follows `TgaImagePlugin.py` and `TgaRleDecode.c`.
pub(super) fn open(path: &Path, data: &[u8]) -> Result<OpenedImage> {
    let header: &[u8; 18] = data.first_chunk().ok_or_else(|| truncated(path, FORMAT))?;
    let u16_at = |at: usize| usize::from(u16::from_le_bytes([header[at], header[at + 1]]));
    let (width, height) = (u16_at(12), u16_at(14));
    let notes = check_pixels(path, width as u64, height as u64)?;
    let (has_map, kind, depth, flags) = (header[1] == 1, header[2], header[16], header[17]);
    let samples = match (kind & 7, depth) {
        (1, 8) if has_map => Samples::Index,
        (3, 8) => Samples::Grey,
        (3, 16) => Samples::GreyAlpha,
        (2, 16) => Samples::Five,
        (2, 24) => Samples::Bgr,
        (2, 32) => Samples::Bgra,
        _ => {
            let what = format!("image type {kind} at {depth} bits");
            return Err(unsupported(path, FORMAT, what));
        }
    };

    let mut at = 18 + usize::from(header[0]);
    let mut palette = Palette::from_rgb(&[]);
    if has_map {
        let (first, count, bits) = (u16_at(3), u16_at(5), header[7]);
        if !matches!(bits, 16 | 24 | 32) {
            return Err(unsupported(path, FORMAT, format!("a palette of {bits} bits")));
        }
        let size = usize::from(bits / 8);
        let bytes = data.get(at..at + count * size).ok_or_else(|| truncated(path, FORMAT))?;
        at += count * size;
        // Pillow sets zeros before the first, in which four bytes have an alpha of 0.
        let (mut rgb, mut alpha) =
            (vec![0; first * 3], vec![if size == 4 { 0 } else { 255 }; first]);
        for entry in bytes.chunks_exact(size) {
            rgb.extend(if size == 2 { five_bits(entry) } else { [entry[2], entry[1], entry[0]] });
            alpha.push(match size {
                2 => alpha_bit(entry),
                4 => entry[3],
                _ => 255,
            });
        }
        palette = Palette::from_rgb(&rgb).with_alpha(&alpha);
    }

    let stride = width * usize::from(depth / 8);
    let body = data.get(at..).unwrap_or(&[]);
    let body = if kind & 8 != 0 {
        run_lengths(path, body, usize::from(depth / 8), stride, height)?
    } else {
        body.get(..stride * height).ok_or_else(|| truncated(path, FORMAT))?.to_vec()
    };
    let from_top = flags & 0x20 != 0;
    let from_right = flags & 0x10 != 0;
    let mut out = ToRgb::new(path, width, height)?;
    for y in 0..height {
        let y = if from_top { y } else { height - 1 - y };
        let mut row = body[y * stride..(y + 1) * stride].to_vec();
        if from_right {
            row = row.rchunks_exact(usize::from(depth / 8)).flatten().copied().collect();
        }
        samples.push(&mut out, &row, &palette);
    }
    let (pixels, lost, dropped) = out.finish()?;
    let notes = notes.into_iter().chain(lost).collect();
    Ok(OpenedImage {
        pixels,
        format: FORMAT,
        mode: samples.mode(),
        orientation: None,
        dropped,
        jpeg: None,
        notes,
    })
}

/// What one pixel is made of.
#[derive(Clone, Copy)]
enum Samples {
    Index,
    Grey,
    GreyAlpha,
    Five,
    Bgr,
    Bgra,
}

impl Samples {
    fn mode(self) -> &'static str {
        match self {
            Self::Index => "P",
            Self::Grey => "L",
            Self::GreyAlpha => "LA",
            Self::Bgr => "RGB",
            Self::Five | Self::Bgra => "RGBA",
        }
    }

    fn push(self, out: &mut ToRgb, row: &[u8], palette: &Palette) {
        match self {
            Self::Index => out.palette(row, palette),
            Self::Grey => out.grey(row),
            Self::GreyAlpha => out.grey_alpha(row),
            Self::Five => {
                let rgba = row.chunks_exact(2).flat_map(|pixel| {
                    let [red, green, blue] = five_bits(pixel);
                    [red, green, blue, alpha_bit(pixel)]
                });
                out.rgba(&rgba.collect::<Vec<_>>());
            }
            Self::Bgr => {
                out.rgb(&row.chunks_exact(3).flat_map(|p| [p[2], p[1], p[0]]).collect::<Vec<_>>());
            }
            Self::Bgra => {
                let rgba = row.chunks_exact(4).flat_map(|p| [p[2], p[1], p[0], p[3]]);
                out.rgba(&rgba.collect::<Vec<_>>());
            }
        }
    }
}

/// Red, green and blue of a 16-bit pixel.
fn five_bits(pixel: &[u8]) -> [u8; 3] {
    let value = u16::from_le_bytes([pixel[0], pixel[1]]);
    [widened(value >> 10, 5), widened(value >> 5, 5), widened(value, 5)]
}

/// The alpha of a 16-bit pixel: transparent where the highest bit is set (Pillow's `BGRA;15Z`).
fn alpha_bit(pixel: &[u8]) -> u8 {
    if pixel[1] & 0x80 == 0 { 255 } else { 0 }
}

/// Undoes run-length coding. A packet of equal pixels must end with its row at the latest, as
/// Pillow demands; one of different pixels may go on.
fn run_lengths(
    path: &Path,
    body: &[u8],
    size: usize,
    stride: usize,
    height: usize,
) -> Result<Vec<u8>> {
    let total = stride * height;
    let mut out = Vec::new();
    let mut at = 0;
    let cut = || truncated(path, FORMAT);
    while out.len() < total {
        let head = *body.get(at).ok_or_else(cut)?;
        let length = size * (usize::from(head & 0x7F) + 1);
        if head & 0x80 != 0 {
            if out.len() % stride + length > stride {
                return Err(broken(path, FORMAT, "a run goes beyond the end of its row"));
            }
            let pixel = body.get(at + 1..at + 1 + size).ok_or_else(cut)?;
            out.extend(pixel.iter().cycle().take(length));
            at += 1 + size;
        } else {
            out.extend_from_slice(body.get(at + 1..at + 1 + length).ok_or_else(cut)?);
            at += 1 + length;
        }
    }
    out.truncate(total);
    Ok(out)
}

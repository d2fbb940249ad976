//! PBM, PGM and PPM files. Written here, since the `image` crate leaves samples unscaled when
//! their maximum is not 255.

use std::path::Path;

use super::format::ImageFormat;
use super::limit::check_pixels;
use super::opened::{OpenedImage, broken, truncated};
use super::to_rgb::{ToRgb, unpack};
use vae_fidelity_files::error::{Error, Result};

const FORMAT: ImageFormat = ImageFormat::Ppm;

/// Opens a PBM, PGM or PPM file, plain or binary, with any maximum below 65536. Follows
/// `PpmImagePlugin.py`.
pub(super) fn open(path: &Path, data: &[u8]) -> Result<OpenedImage> {
    let kind = data.get(1).copied().unwrap_or(0);
    let mut header = Tokens { data, at: 2 };
    let mut number = || {
        let token = header.next(path)?;
        let text = String::from_utf8_lossy(&token).into_owned();
        text.parse::<u64>().map_err(|_| bad_number(path, "header", &text))
    };
    let (columns, rows) = (number()?, number()?);
    let most = if matches!(kind, b'1' | b'4') { 1 } else { number()? };
    if !(1..65536).contains(&most) {
        return Err(broken(
            path,
            FORMAT,
            format!("expected a maximum of 1 to 65535, found {most}"),
        ));
    }
    let notes = check_pixels(path, columns, rows)?;
    let (width, height) = (columns as usize, rows as usize);
    let colour = matches!(kind, b'3' | b'6');
    let samples = width * if colour { 3 } else { 1 };
    let deep = most > 255;

    let mut body = Body { tokens: header, kind, most: most as u32 };
    let mut out = ToRgb::new(path, width, height)?;
    for _ in 0..height {
        let row = body.row(path, samples)?;
        if kind == b'1' || kind == b'4' {
            out.grey(&row.iter().map(|&ink| if ink == 0 { 255 } else { 0 }).collect::<Vec<_>>());
        } else if deep && !colour {
            out.grey_clipped(row.iter().map(|&value| scaled(value, most as u32, 65535)));
        } else {
            let bytes: Vec<u8> =
                row.iter().map(|&value| scaled(value, most as u32, 255) as u8).collect();
            if colour { out.rgb(&bytes) } else { out.grey(&bytes) }
        }
    }
    let (pixels, lost, dropped) = out.finish()?;
    let mode = match kind {
        b'1' | b'4' => "1",
        _ if colour => "RGB",
        _ if deep => "I",
        _ => "L",
    };
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

/// `value / most * to` in f64, halves to even, at most `to`: Python's `round`.
fn scaled(value: u32, most: u32, to: u32) -> u32 {
    ((f64::from(value) / f64::from(most) * f64::from(to)).round_ties_even() as u32).min(to)
}

/// The pixels that follow the header.
struct Body<'a> {
    tokens: Tokens<'a>,
    kind: u8,
    most: u32,
}

impl Body<'_> {
    /// The next `count` samples, unscaled.
    fn row(&mut self, path: &Path, count: usize) -> Result<Vec<u32>> {
        match self.kind {
            b'1' => (0..count).map(|_| self.tokens.bit(path)).collect(),
            b'2' | b'3' => (0..count).map(|_| self.tokens.sample(path, self.most)).collect(),
            b'4' => {
                let bytes = self.tokens.take(path, count.div_ceil(8))?;
                Ok(unpack(bytes, 1, count).into_iter().map(u32::from).collect())
            }
            _ if self.most > 255 => {
                let bytes = self.tokens.take(path, count * 2)?;
                Ok(bytes.chunks_exact(2).map(|b| u32::from(b[0]) << 8 | u32::from(b[1])).collect())
            }
            _ => Ok(self.tokens.take(path, count)?.iter().map(|&b| b.into()).collect()),
        }
    }
}

/// Text between whitespace, with `#` comments to the end of the line left out.
struct Tokens<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Tokens<'a> {
    fn byte(&mut self) -> Option<u8> {
        let byte = self.data.get(self.at).copied();
        self.at += usize::from(byte.is_some());
        byte
    }

    /// The next byte that is in no comment.
    fn significant(&mut self) -> Option<u8> {
        loop {
            let byte = self.byte()?;
            if byte != b'#' {
                return Some(byte);
            }
            while !matches!(self.byte()?, b'\n' | b'\r') {}
        }
    }

    /// The next token, with the one whitespace byte that ends it consumed.
    fn next(&mut self, path: &Path) -> Result<Vec<u8>> {
        let mut token = Vec::new();
        while let Some(byte) = self.significant() {
            if !matches!(byte, b' ' | b'\t'..=b'\r') {
                token.push(byte);
            } else if !token.is_empty() {
                break;
            }
            if token.len() > 10 {
                return Err(bad_number(path, "file", &String::from_utf8_lossy(&token)));
            }
        }
        if token.is_empty() { Err(truncated(path, FORMAT)) } else { Ok(token) }
    }

    /// One sample of a plain file.
    fn sample(&mut self, path: &Path, most: u32) -> Result<u32> {
        let token = self.next(path)?;
        let text = String::from_utf8_lossy(&token);
        match text.parse::<u64>() {
            Ok(value) if value <= u64::from(most) => Ok(value as u32),
            Ok(value) => {
                Err(broken(path, FORMAT, format!("expected samples up to {most}, found {value}")))
            }
            Err(_) => Err(bad_number(path, "pixel data", &text)),
        }
    }

    /// One pixel of a plain PBM file, which needs no whitespace in between.
    fn bit(&mut self, path: &Path) -> Result<u32> {
        loop {
            match self.significant() {
                Some(b' ' | b'\t'..=b'\r') => {}
                Some(digit @ (b'0' | b'1')) => return Ok(u32::from(digit - b'0')),
                Some(other) => {
                    return Err(bad_number(path, "pixel data", &char::from(other).to_string()));
                }
                None => return Err(truncated(path, FORMAT)),
            }
        }
    }

    /// The next `count` bytes, whatever they are.
    fn take(&mut self, path: &Path, count: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(count).ok_or_else(|| truncated(path, FORMAT))?;
        let bytes = self.data.get(self.at..end).ok_or_else(|| truncated(path, FORMAT))?;
        self.at = end;
        Ok(bytes)
    }
}

fn bad_number(path: &Path, place: &str, text: &str) -> Error {
    broken(path, FORMAT, format!("expected a number in the {place}, found {text:?}"))
}

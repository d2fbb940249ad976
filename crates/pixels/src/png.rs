//! PNG files, read as Pillow reads them.

use std::borrow::Cow;
use std::io::{BufReader, ErrorKind};
use std::path::Path;

use png::{
    BitDepth, ColorType, DecodeOptions, Decoder, DecodingError, Limits, Reader, Transformations,
};

use super::dropped::Dropped;
use super::exif::{ICC_NOTE, orientation, orientation_note};
use super::format::ImageFormat;
use super::limit::check_pixels;
use super::opened::{OpenedImage, broken, failed_read, no_memory, truncated};
use super::stream::Stream;
use super::to_rgb::{Palette, TRANSPARENT_IS_IGNORED, ToRgb, unpack};
use vae_fidelity_files::error::{Error, Result};
use vae_fidelity_files::memory::reserve;

/// The most that chunks such as a profile may take in memory.
const CHUNK_BYTES: usize = 64 << 20;

/// A PNG file of which all is read that stands before its pixels.
pub(super) struct Begun {
    pub(super) reader: Reader<BufReader<Stream>>,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) samples: Samples,
    /// What there is to say of every picture in it.
    pub(super) notes: Vec<String>,
    profile: Option<Vec<u8>>,
    turned: Option<u16>,
}

/// What its samples mean.
pub(super) struct Samples {
    pub(super) colour: ColorType,
    pub(super) depth: BitDepth,
    palette: Palette,
    pub(super) transparent: Option<[u8; 3]>,
}

/// Opens a PNG file: any color type and depth, interlaced or not; of an animation, the default
/// image. Follows `PngImagePlugin.py`: `_MODES` and `chunk_tRNS`.
pub(super) fn open(path: &Path, file: Stream) -> Result<OpenedImage> {
    let failed = |error| failed(path, error);
    let mut begun = begin(path, file, 1)?;
    let Begun { reader, width, height, samples, notes, .. } = &mut begun;
    let (width, height) = (*width, *height);
    if reader.info().animation_control.is_some_and(|control| control.num_frames > 1) {
        notes.push("animated: only the default image is used".into());
    }

    let mut out = ToRgb::new(path, width, height)?;
    let stride = reader.output_line_size(width as u32).ok_or_else(|| no_memory(path))?;
    if reader.info().interlaced {
        let mut data = Vec::new();
        let size = reader.output_buffer_size().ok_or_else(|| no_memory(path))?;
        reserve(&mut data, size).map_err(|_| no_memory(path))?;
        data.resize(size, 0);
        reader.next_frame(&mut data).map_err(failed)?;
        for row in data.chunks_exact(stride) {
            samples.push(&mut out, &samples.of_pillow(row, width));
        }
    } else {
        for _ in 0..height {
            let row = reader.next_row().map_err(failed)?;
            let row = row.ok_or_else(|| truncated(path, ImageFormat::Png))?;
            if row.data().len() != stride {
                return Err(broken(path, ImageFormat::Png, "the first frame is not full size"));
            }
            samples.push(&mut out, &samples.of_pillow(row.data(), width));
        }
    }
    begun.finish(path)?;
    begun.opened(out)
}

/// Reads what stands before the first pixels; `frames` will be read at most.
pub(super) fn begin(path: &Path, file: Stream, frames: usize) -> Result<Begun> {
    let failed = |error| failed(path, error);
    let mut options = DecodeOptions::default();
    // zlib checks this sum for Pillow; without it a damaged file would pass.
    options.set_ignore_adler32(false);
    options.set_ignore_text_chunk(true);
    options.set_skip_ancillary_crc_failures(false);
    let mut decoder = Decoder::new_with_options(BufReader::new(file), options);
    // Pillow's own view of each depth is made here, from the samples as they are stored.
    decoder.set_transformations(Transformations::IDENTITY);
    let header = decoder.read_header_info().map_err(failed)?;
    let (width, height) = (header.width as usize, header.height as usize);
    let mut notes: Vec<_> = check_pixels(path, width as u64, height as u64)?.into_iter().collect();
    // What the library sets aside for chunks, and for the rows of a very wide picture; of frames it counts
    // each, though it keeps none.
    decoder.set_limits(Limits {
        bytes: CHUNK_BYTES.saturating_add((width * 16).saturating_mul(frames)),
    });
    let reader = decoder.read_info().map_err(failed)?;

    let info = reader.info();
    let (colour, depth) = (info.color_type, info.bit_depth);
    let palette = Palette::from_rgb(info.palette.as_deref().unwrap_or(&[]))
        .with_alpha(info.trns.as_deref().unwrap_or(&[]));
    let transparent = info.trns.as_deref().and_then(|trns| transparent(trns, colour, depth));
    if info.trns.is_some() && colour != ColorType::Indexed {
        notes.push(TRANSPARENT_IS_IGNORED.into());
    }
    let profile = info.icc_profile.as_deref().map(<[u8]>::to_vec);
    notes.extend(profile.is_some().then(|| ICC_NOTE.into()));
    let turned = info.exif_metadata.as_deref().and_then(orientation);
    notes.extend(turned.map(orientation_note));
    let samples = Samples { colour, depth, palette, transparent };
    Ok(Begun { reader, width, height, samples, notes, profile, turned })
}

impl Begun {
    /// Reads what stands behind the last pixel that is wanted.
    pub(super) fn finish(&mut self, path: &Path) -> Result<()> {
        match self.reader.finish() {
            // Pillow too asks for nothing after the last pixel.
            Err(DecodingError::IoError(error)) if error.kind() == ErrorKind::UnexpectedEof => {
                Ok(())
            }
            other => other.map_err(|error| failed(path, error)),
        }
    }

    /// One of its pictures.
    pub(super) fn opened(&self, out: ToRgb) -> Result<OpenedImage> {
        let (pixels, lost, dropped) = out.finish()?;
        let transparent = self.samples.transparent;
        Ok(OpenedImage {
            pixels,
            format: ImageFormat::Png,
            mode: self.samples.mode(),
            orientation: self.turned,
            dropped: Dropped { transparent, ..dropped.with_profile(self.profile.clone()) },
            jpeg: None,
            notes: [self.notes.clone(), lost].concat(),
        })
    }
}

/// The colour that a `tRNS` chunk makes transparent, among the pixels as RGB: the low byte of each sample,
/// as Pillow's `convert_transparent` takes it. Below 16 bits the reader has left out the high ones.
fn transparent(trns: &[u8], colour: ColorType, depth: BitDepth) -> Option<[u8; 3]> {
    match (colour, depth, trns) {
        (ColorType::Grayscale, BitDepth::One, &[level]) => {
            Some([if level == 0 { 0 } else { 255 }; 3])
        }
        (ColorType::Grayscale, _, &[.., low]) => Some([low; 3]),
        (ColorType::Rgb, BitDepth::Sixteen, &[_, red, _, green, _, blue]) => {
            Some([red, green, blue])
        }
        (ColorType::Rgb, _, &[red, green, blue]) => Some([red, green, blue]),
        _ => None,
    }
}

impl Samples {
    /// Pillow's name for what the color type and depth open as.
    fn mode(&self) -> &'static str {
        match (self.colour, self.depth) {
            (ColorType::Grayscale, BitDepth::One) => "1",
            (ColorType::Grayscale, BitDepth::Sixteen) => "I;16",
            (ColorType::Grayscale, _) => "L",
            (ColorType::Indexed, _) => "P",
            (ColorType::Rgb, _) => "RGB",
            // Pillow has no 16-bit LA: it opens as RGBA.
            (ColorType::GrayscaleAlpha, BitDepth::Sixteen) => "RGBA",
            (ColorType::GrayscaleAlpha, _) => "LA",
            (ColorType::Rgba, _) => "RGBA",
        }
    }

    /// How many bytes [`Self::of_pillow`] gives for a pixel.
    pub(super) fn bytes(&self) -> usize {
        match (self.colour, self.depth) {
            (ColorType::Grayscale, BitDepth::Sixteen) => 2,
            (colour, _) => colour.samples(),
        }
    }

    /// A row as stored, with the samples that Pillow keeps: 8 bits each, and 16 big-endian ones of `I;16`.
    pub(super) fn of_pillow<'r>(&self, row: &'r [u8], width: usize) -> Cow<'r, [u8]> {
        let bits = self.depth as u8;
        match (self.colour, self.depth) {
            (ColorType::Grayscale, BitDepth::Sixteen) | (_, BitDepth::Eight) => Cow::Borrowed(row),
            // 16-bit color keeps the high byte of each sample; only 16-bit gray is clipped instead.
            (_, BitDepth::Sixteen) => row.iter().copied().step_by(2).collect(),
            (ColorType::Grayscale, _) => {
                let white = 255 / (0xFF >> (8 - bits));
                unpack(row, bits, width).into_iter().map(|value| value * white).collect()
            }
            _ => Cow::Owned(unpack(row, bits, width)),
        }
    }

    /// Such a row, to RGB.
    pub(super) fn push(&self, out: &mut ToRgb, row: &[u8]) {
        match (self.colour, self.depth) {
            (ColorType::Grayscale, BitDepth::Sixteen) => {
                let samples = row.chunks_exact(2).map(|b| u32::from(b[0]) << 8 | u32::from(b[1]));
                out.grey_clipped(samples);
            }
            (ColorType::Grayscale, _) => out.grey(row),
            (ColorType::Indexed, _) => out.palette(row, &self.palette),
            (ColorType::GrayscaleAlpha, _) => out.grey_alpha(row),
            (ColorType::Rgb, _) => out.rgb(row),
            (ColorType::Rgba, _) => out.rgba(row),
        }
    }

    /// How opaque a pixel is when a frame is blended; a transparent grey counts for nothing, as in Pillow.
    pub(super) fn alpha(&self, pixel: &[u8]) -> u8 {
        match (self.colour, pixel) {
            (ColorType::Indexed, &[index]) => self.palette.alpha_of(index),
            (ColorType::GrayscaleAlpha | ColorType::Rgba, &[.., alpha]) => alpha,
            (ColorType::Rgb, _) if self.transparent.is_some_and(|colour| colour == pixel) => 0,
            _ => 255,
        }
    }
}

/// What the decoder says of a broken file.
pub(super) fn failed(path: &Path, error: DecodingError) -> Error {
    match error {
        DecodingError::IoError(error) => failed_read(path, ImageFormat::Png, &error),
        DecodingError::LimitsExceeded => no_memory(path),
        other => {
            let text = other.to_string();
            // The library prints a chunk's whole structure; its name is what helps.
            let reason = match text.split_once("ChunkType { type: ") {
                Some((before, after)) => {
                    format!("{before}{}", after.split(',').next().unwrap_or_default())
                }
                None => text,
            };
            broken(path, ImageFormat::Png, reason)
        }
    }
}

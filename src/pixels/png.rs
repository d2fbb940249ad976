//! PNG files, read as Pillow reads them; and RGB8 written as PNG.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use png::{BitDepth, ColorType, Decoder, DecodingError, Transformations};

use super::exif::{ICC_NOTE, orientation, orientation_note};
use super::format::ImageFormat;
use super::limit::check_pixels;
use super::open::{OpenedImage, broken, no_memory, truncated};
use super::rgb8::Rgb8;
use super::to_rgb::{Palette, ToRgb, unpack};
use crate::error::{Error, ErrorKind, Result};

/// Opens a PNG file: any colour type and depth, interlaced or not; of an animation, the default
/// image. Follows `PngImagePlugin.py`: `_MODES` and `chunk_tRNS`.
pub(super) fn open(path: &Path, file: File) -> Result<OpenedImage> {
    let failed = |error| failed(path, error);
    let mut decoder = Decoder::new(BufReader::new(file));
    // Pillow's own view of each depth is made here, from the samples as they are stored.
    decoder.set_transformations(Transformations::IDENTITY);
    decoder.set_ignore_text_chunk(true);
    let header = decoder.read_header_info().map_err(failed)?;
    let (width, height) = (header.width as usize, header.height as usize);
    let mut notes: Vec<_> = check_pixels(path, width as u64, height as u64)?.into_iter().collect();
    let mut reader = decoder.read_info().map_err(failed)?;

    let info = reader.info();
    let (colour, depth) = (info.color_type, info.bit_depth);
    let palette = Palette::from_rgb(info.palette.as_deref().unwrap_or(&[]))
        .with_alpha(info.trns.as_deref().unwrap_or(&[]));
    if info.trns.is_some() && colour != ColorType::Indexed {
        notes.push("the transparent colour (tRNS) is ignored, as by convert(\"RGB\")".into());
    }
    if info.icc_profile.is_some() {
        notes.push(ICC_NOTE.into());
    }
    if let Some(value) = info.exif_metadata.as_deref().and_then(orientation) {
        notes.push(orientation_note(value));
    }
    if info.animation_control.is_some_and(|control| control.num_frames > 1) {
        notes.push("animated: only the default image is used".into());
    }

    let mut out = ToRgb::new(path, width, height)?;
    let stride = reader.output_line_size(width as u32).ok_or_else(|| no_memory(path))?;
    if info_interlaced(&reader) {
        let mut data = Vec::new();
        let size = reader.output_buffer_size().ok_or_else(|| no_memory(path))?;
        data.try_reserve_exact(size).map_err(|_| no_memory(path))?;
        data.resize(size, 0);
        reader.next_frame(&mut data).map_err(failed)?;
        for row in data.chunks_exact(stride) {
            push(&mut out, row, width, colour, depth, &palette);
        }
    } else {
        for _ in 0..height {
            let row = reader.next_row().map_err(failed)?;
            let row = row.ok_or_else(|| truncated(path, ImageFormat::Png))?;
            if row.data().len() != stride {
                return Err(broken(path, ImageFormat::Png, "the first frame is not full size"));
            }
            push(&mut out, row.data(), width, colour, depth, &palette);
        }
    }
    let (pixels, lost) = out.finish()?;
    notes.extend(lost);
    Ok(OpenedImage { pixels, format: ImageFormat::Png, mode: mode(colour, depth), notes })
}

fn info_interlaced<R: std::io::BufRead + std::io::Seek>(reader: &png::Reader<R>) -> bool {
    reader.info().interlaced
}

/// Pillow's name for what a colour type and depth open as.
fn mode(colour: ColorType, depth: BitDepth) -> &'static str {
    match (colour, depth) {
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

/// One row of samples as stored, to RGB.
fn push(
    out: &mut ToRgb,
    row: &[u8],
    width: usize,
    colour: ColorType,
    depth: BitDepth,
    palette: &Palette,
) {
    // 16-bit colour keeps the high byte of each sample; only 16-bit grey is clipped instead.
    let high_bytes = || row.iter().copied().step_by(2).collect::<Vec<_>>();
    let bits = depth as u8;
    match (colour, depth) {
        (ColorType::Grayscale, BitDepth::Sixteen) => {
            let samples = row.chunks_exact(2).map(|b| u32::from(b[0]) << 8 | u32::from(b[1]));
            out.grey_clipped(samples);
        }
        (ColorType::Grayscale, BitDepth::Eight) => out.grey(row),
        (ColorType::Grayscale, _) => {
            let white = 255 / (0xFF >> (8 - bits));
            let samples = unpack(row, bits, width);
            out.grey(&samples.into_iter().map(|value| value * white).collect::<Vec<_>>());
        }
        (ColorType::Indexed, _) => out.palette(&unpack(row, bits, width), palette),
        (ColorType::GrayscaleAlpha, BitDepth::Sixteen) => out.grey_alpha(&high_bytes()),
        (ColorType::GrayscaleAlpha, _) => out.grey_alpha(row),
        (ColorType::Rgb, BitDepth::Sixteen) => out.rgb(&high_bytes()),
        (ColorType::Rgb, _) => out.rgb(row),
        (ColorType::Rgba, BitDepth::Sixteen) => out.rgba(&high_bytes()),
        (ColorType::Rgba, _) => out.rgba(row),
    }
}

fn failed(path: &Path, error: DecodingError) -> Error {
    match error {
        DecodingError::IoError(error) => super::open::failed_read(path, ImageFormat::Png, &error),
        DecodingError::LimitsExceeded => no_memory(path),
        other => broken(path, ImageFormat::Png, other),
    }
}

/// `pixels` as the bytes of an 8-bit RGB PNG file. Every reader gives the same pixels back.
///
/// Errors when a side does not fit PNG's 31 bits.
pub fn encode_png(pixels: &Rgb8) -> Result<Vec<u8>> {
    let failed = |error: &dyn std::fmt::Display| {
        Error::new(
            ErrorKind::Output,
            "PNG",
            format!("{} x {} pixels: {error}", pixels.width(), pixels.height()),
            "use a smaller picture",
        )
    };
    let width = u32::try_from(pixels.width()).map_err(|e| failed(&e))?;
    let height = u32::try_from(pixels.height()).map_err(|e| failed(&e))?;
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(|e| failed(&e))?;
    writer.write_image_data(pixels.data()).map_err(|e| failed(&e))?;
    writer.finish().map_err(|e| failed(&e))?;
    Ok(bytes)
}

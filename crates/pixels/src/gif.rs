//! GIF files: the first frame, as Pillow shows it.

use std::io::BufReader;
use std::path::Path;

use ::gif::{DecodeOptions, DecodingError, MemoryLimit};

use super::format::ImageFormat;
use super::limit::check_pixels;
use super::opened::{OpenedImage, broken, failed_read, no_memory, truncated};
use super::stream::Stream;
use super::to_rgb::{Palette, ToRgb};
use vae_fidelity_files::error::{Error, Result};
use vae_fidelity_files::memory::reserve;

/// Opens the first frame of a GIF file. Follows `GifImagePlugin.py`, `_seek` and `load_prepare`.
///
/// A palette that is its own index opens as `L`. A frame that reaches beyond the screen enlarges
/// it; what the frame leaves free has the transparent color, or color 0.
pub(super) fn open(path: &Path, file: Stream) -> Result<OpenedImage> {
    let failed = |error| failed(path, error);
    let mut options = DecodeOptions::new();
    // Frames are read into a buffer made here, after the size has been checked.
    options.set_memory_limit(MemoryLimit::Unlimited);
    options.allow_unknown_blocks(true);
    let mut decoder = options.read_info(BufReader::new(file)).map_err(failed)?;
    let screen = (usize::from(decoder.width()), usize::from(decoder.height()));
    let global = decoder.global_palette().map(<[u8]>::to_vec);

    let frame = decoder.next_frame_info().map_err(failed)?;
    let frame = frame.ok_or_else(|| broken(path, ImageFormat::Gif, "it has no frame"))?;
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let (columns, rows) = (usize::from(frame.width), usize::from(frame.height));
    let (width, height) = (screen.0.max(left + columns), screen.1.max(top + rows));
    let transparent = frame.transparent;
    let palette = frame.palette.clone().or(global).filter(|palette| !is_its_own_index(palette));
    let mut notes: Vec<_> = check_pixels(path, width as u64, height as u64)?.into_iter().collect();

    let mut indices = Vec::new();
    reserve(&mut indices, columns * rows).map_err(|_| no_memory(path))?;
    indices.resize(columns * rows, 0);
    if !indices.is_empty() {
        decoder.read_into_buffer(&mut indices).map_err(failed)?;
    }
    if matches!(decoder.next_frame_info(), Ok(Some(_))) {
        notes.push("animated: only the first frame is used".into());
    }

    let colours = palette.as_deref().map(|bytes| {
        let mut alpha = [255; 256];
        if let Some(index) = transparent {
            alpha[usize::from(index)] = 0;
        }
        Palette::from_rgb(bytes).with_alpha(&alpha)
    });
    let mut out = ToRgb::new(path, width, height)?;
    let mut row = vec![0; width];
    for y in 0..height {
        row.fill(transparent.unwrap_or(0));
        if (top..top + rows).contains(&y) {
            let from = (y - top) * columns;
            row[left..left + columns].copy_from_slice(&indices[from..from + columns]);
        }
        match &colours {
            Some(palette) => out.palette(&row, palette),
            None => out.grey(&row),
        }
    }
    let (pixels, lost, dropped) = out.finish()?;
    notes.extend(lost);
    let mode = if colours.is_some() { "P" } else { "L" };
    Ok(OpenedImage {
        pixels,
        format: ImageFormat::Gif,
        mode,
        orientation: None,
        dropped,
        jpeg: None,
        notes,
    })
}

/// Whether color i is gray of the value i, so that indices can be used as they are.
fn is_its_own_index(palette: &[u8]) -> bool {
    palette.chunks_exact(3).enumerate().all(|(i, rgb)| rgb.iter().all(|&v| usize::from(v) == i))
}

fn failed(path: &Path, error: DecodingError) -> Error {
    match error {
        DecodingError::Io(error) => failed_read(path, ImageFormat::Gif, &error),
        DecodingError::UnexpectedEof => truncated(path, ImageFormat::Gif),
        DecodingError::OutOfMemory | DecodingError::MemoryLimit => no_memory(path),
        other => broken(path, ImageFormat::Gif, other.to_string().to_lowercase()),
    }
}

//! The frames of an animated PNG file, as Pillow shows them: `PngImagePlugin.py`, `_seek` and `load_end`.

use std::io::ErrorKind;
use std::path::Path;

use png::{BitDepth, BlendOp, ColorType, DecodingError, DisposeOp, FrameControl};

use super::canvas::{Area, Canvas};
use super::format::ImageFormat;
use super::opened::{OpenedImage, no_memory, truncated, unsupported};
use super::png::{Begun, Samples, begin, failed};
use super::stream::Stream;
use super::to_rgb::ToRgb;
use vae_fidelity_files::error::Result;
use vae_fidelity_files::memory::reserve;

/// What becomes of a frame's area before the next is drawn.
enum Disposed {
    Kept,
    Cleared(Area),
    Restored(Canvas, Area),
}

/// The first `count` frames. A default image that is no part of the animation is Pillow's first, and the
/// others are drawn over it.
pub(super) fn frames(path: &Path, file: Stream, count: usize) -> Result<Vec<OpenedImage>> {
    let mut begun = begin(path, file, count)?;
    let (width, height) = (begun.width, begun.height);
    let apart = begun.reader.info().frame_control.is_none();
    let declared = begun
        .reader
        .info()
        .animation_control
        .map_or(1, |control| (control.num_frames as usize).saturating_add(usize::from(apart)));
    let mut canvas = Canvas::new(path, width, height, &[0; 4][..begun.samples.bytes()])?;
    let mut disposed = Disposed::Kept;
    let mut frames = Vec::new();
    while frames.len() < count.min(declared) {
        let first = frames.is_empty();
        let control = control(path, &mut begun, frames.len())?;
        let area = control.map_or(Area::whole(width, height), |control| Area {
            left: control.x_offset as usize,
            top: control.y_offset as usize,
            width: control.width as usize,
            height: control.height as usize,
        });
        let part = part(path, &mut begun, area)?;
        match disposed {
            Disposed::Kept => {}
            Disposed::Cleared(area) => canvas.fill(area, &[0; 4][..begun.samples.bytes()]),
            Disposed::Restored(part, area) => canvas.paste(&part, area),
        }
        let over = !first && control.is_some_and(|control| control.blend_op == BlendOp::Over);
        disposed = match control.map_or(DisposeOp::None, |control| control.dispose_op) {
            DisposeOp::None => Disposed::Kept,
            DisposeOp::Background => Disposed::Cleared(area),
            DisposeOp::Previous if first => Disposed::Cleared(area),
            // Pillow blends onto its only copy of what was there.
            DisposeOp::Previous if over => Disposed::Kept,
            DisposeOp::Previous => Disposed::Restored(canvas.cropped(path, area)?, area),
        };
        if over {
            canvas.paste_masked(&part, area, |pixel| begun.samples.alpha(pixel));
        } else {
            canvas.paste(&part, area);
        }
        let mut out = ToRgb::new(path, width, height)?;
        canvas.rows().for_each(|row| begun.samples.push(&mut out, row));
        frames.push(begun.opened(out)?);
    }
    if declared == 1 {
        // Of a still picture no less is asked than where it is opened alone.
        begun.finish(path)?;
    }
    Ok(frames)
}

/// What the file says of the next frame: nothing of a default image that is no part of the animation.
fn control(path: &Path, begun: &mut Begun, number: usize) -> Result<Option<FrameControl>> {
    if number == 0 {
        return Ok(begun.reader.info().frame_control);
    }
    if begun.reader.info().interlaced {
        // Pillow stops at the second frame: "function takes at most 3 arguments".
        return Err(unsupported(path, ImageFormat::Png, "an interlaced animation"));
    }
    // Pillow too refuses a file that has fewer than it declares.
    let control = *begun.reader.next_frame_info().map_err(|error| failed(path, error))?;
    let Samples { colour, depth, .. } = begun.samples;
    let deep = (colour, depth) == (ColorType::Grayscale, BitDepth::Sixteen);
    if deep && control.blend_op == BlendOp::Over {
        let what = format!("frame {number} blended in grey of 16 bits");
        return Err(unsupported(path, ImageFormat::Png, what));
    }
    Ok(Some(control))
}

/// The pixels of the frame that comes next.
fn part(path: &Path, begun: &mut Begun, area: Area) -> Result<Canvas> {
    let Begun { reader, samples, .. } = begun;
    let failed = |error| failed(path, error);
    let mut part = Canvas::new(path, area.width, area.height, &[0; 4][..samples.bytes()])?;
    let whole = Area { left: 0, top: 0, ..area };
    if reader.info().interlaced {
        let mut stored = Vec::new();
        let size = reader.output_buffer_size().ok_or_else(|| no_memory(path))?;
        reserve(&mut stored, size).map_err(|_| no_memory(path))?;
        stored.resize(size, 0);
        let stride = reader.next_frame(&mut stored).map_err(failed)?.line_size;
        for (to, row) in part.rows_of(whole).zip(stored.chunks_exact(stride)) {
            to.copy_from_slice(&samples.of_pillow(row, area.width));
        }
        return Ok(part);
    }
    for to in part.rows_of(whole) {
        let row = reader.next_row().map_err(failed)?;
        let row = row.ok_or_else(|| truncated(path, ImageFormat::Png))?;
        to.copy_from_slice(&samples.of_pillow(row.data(), area.width));
    }
    match reader.next_row() {
        // Pillow too asks for nothing after the last pixel.
        Err(DecodingError::IoError(error)) if error.kind() == ErrorKind::UnexpectedEof => Ok(part),
        other => other.map(|_| part).map_err(failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{open_bytes, open_frames_bytes};

    /// A picture of 2 x 1 that says it has `declared` frames, and two of them: the second is one pixel on the
    /// right, half transparent and blended.
    fn animation(declared: u32) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, 2, 1);
        encoder.set_color(ColorType::Rgba);
        encoder.set_animated(declared, 0).unwrap();
        encoder.validate_sequence(false);
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(&[1, 2, 3, 255, 100, 0, 0, 255]).unwrap();
        writer.set_frame_dimension(1, 1).unwrap();
        writer.set_frame_position(1, 0).unwrap();
        writer.set_blend_op(BlendOp::Over).unwrap();
        writer.write_image_data(&[200, 0, 0, 128]).unwrap();
        writer.finish().unwrap();
        file
    }

    #[test]
    fn alpha_is_blended_too() {
        let path = Path::new("moves.png");
        let frames = open_frames_bytes(path, animation(2), 5).unwrap();
        let pixels: Vec<_> = frames.iter().map(|frame| frame.pixels.data()).collect();
        assert_eq!(pixels, [[1, 2, 3, 100, 0, 0], [1, 2, 3, 150, 0, 0]]);
        assert_eq!(frames[1].dropped.alpha, [255, 191]);
        assert!(frames[0].notes.is_empty());
        let still = open_bytes(path, animation(2)).unwrap();
        assert_eq!(still.pixels, frames[0].pixels);
        assert_eq!(still.notes, ["animated: only the default image is used"]);
    }

    #[test]
    fn a_file_that_promises_more_is_refused_where_it_ends() {
        let path = Path::new("moves.png");
        assert_eq!(open_frames_bytes(path, animation(3), 2).unwrap().len(), 2);
        let problem = open_frames_bytes(path, animation(3), 3).unwrap_err().to_string();
        assert!(problem.contains("broken PNG file"), "{problem}");
    }
}

//! WebP files.

use std::io::BufReader;
use std::path::Path;

use image_webp::WebPDecoder;

use super::exif::{ICC_NOTE, orientation, orientation_note};
use super::format::ImageFormat;
use super::limit::check_pixels;
use super::opened::{OpenedImage, broken, no_memory};
use super::stream::Stream;
use super::to_rgb::ToRgb;
use super::webp_file::{check_length, failed, frame_size};
use super::webp_frames::Animation;
use vae_fidelity_files::error::Result;
use vae_fidelity_files::memory::reserve;

/// What a file says of all its pictures.
struct About {
    alpha: bool,
    turned: Option<u16>,
    profile: Option<Vec<u8>>,
    notes: Vec<String>,
}

/// Opens a WebP file, lossy or lossless; of an animation, the first frame.
pub(super) fn open(path: &Path, file: Stream) -> Result<OpenedImage> {
    let (mut pictures, more) = pictures(path, file, 1)?;
    let mut first =
        pictures.pop().ok_or_else(|| broken(path, ImageFormat::Webp, "it has no frame"))?;
    if more {
        first.notes.push("animated: only the first frame is used".into());
    }
    Ok(first)
}

/// The first `count` frames; of a still picture its only one.
pub(super) fn frames(path: &Path, file: Stream, count: usize) -> Result<Vec<OpenedImage>> {
    pictures(path, file, count).map(|(frames, _)| frames)
}

/// Up to `count` pictures, and whether there are more.
fn pictures(path: &Path, mut file: Stream, count: usize) -> Result<(Vec<OpenedImage>, bool)> {
    check_length(path, &mut file)?;
    let frame = frame_size(&mut file).map_err(|e| failed(path, e.into()))?;
    let failed = |error| failed(path, error);
    let mut decoder = WebPDecoder::new(BufReader::new(&mut file)).map_err(failed)?;
    let (width, height) = decoder.dimensions();
    let mut notes: Vec<_> = check_pixels(path, width.into(), height.into())?.into_iter().collect();
    let animated = decoder.is_animated();
    // The decoder would make room for the frame before it compares the two.
    if let Some((w, h)) = frame.filter(|&size| size != (width, height) && !animated) {
        let reason = format!("a frame of {w} x {h} pixels in a picture of {width} x {height}");
        return Err(broken(path, ImageFormat::Webp, reason));
    }
    let profile = decoder.icc_profile().map_err(failed)?;
    notes.extend(profile.is_some().then(|| ICC_NOTE.into()));
    let exif = decoder.exif_metadata().map_err(failed)?;
    let turned = exif.as_deref().and_then(orientation);
    notes.extend(turned.map(orientation_note));
    let about = About { alpha: decoder.has_alpha(), turned, profile, notes };
    let (width, height) = (width as usize, height as usize);
    if animated {
        drop(decoder);
        let mut animation = Animation::new(path, file, width, height)?;
        let mut frames = Vec::new();
        while frames.len() < count && animation.has_more() {
            animation.draw()?;
            let mut out = ToRgb::new(path, width, height)?;
            if about.alpha {
                out.rgba(animation.shown());
            } else {
                animation.shown().chunks_exact(4).for_each(|pixel| out.rgb(&pixel[..3]));
            }
            frames.push(about.opened(out)?);
        }
        return Ok((frames, animation.has_more()));
    }
    if count == 0 {
        return Ok((Vec::new(), true));
    }

    let size = decoder.output_buffer_size().ok_or_else(|| no_memory(path))?;
    let mut data = Vec::new();
    reserve(&mut data, size).map_err(|_| no_memory(path))?;
    data.resize(size, 0);
    decoder.read_image(&mut data).map_err(failed)?;
    let mut out = ToRgb::new(path, width, height)?;
    if about.alpha {
        out.rgba(&data);
    } else {
        out.rgb(&data);
    }
    Ok((vec![about.opened(out)?], false))
}

impl About {
    /// One of its pictures.
    fn opened(&self, out: ToRgb) -> Result<OpenedImage> {
        let (pixels, lost, dropped) = out.finish()?;
        Ok(OpenedImage {
            pixels,
            format: ImageFormat::Webp,
            mode: if self.alpha { "RGBA" } else { "RGB" },
            orientation: self.turned,
            dropped: dropped.with_profile(self.profile.clone()),
            jpeg: None,
            notes: [self.notes.clone(), lost].concat(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{open_bytes, open_frames_bytes};

    fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
        let mut chunk = name.to_vec();
        chunk.extend((body.len() as u32).to_le_bytes());
        chunk.extend(body);
        chunk.resize(chunk.len() + body.len() % 2, 0);
        chunk
    }

    /// One pixel, blended, at the top left or as much as `left` two further.
    fn frame(pixel: [u8; 4], left: u8) -> Vec<u8> {
        let mut still = Vec::new();
        let encoder = image_webp::WebPEncoder::new(&mut still);
        encoder.encode(&pixel, 1, 1, image_webp::ColorType::Rgba8).unwrap();
        let header = [left, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40, 0, 0, 0];
        chunk(b"ANMF", &[&header, &still[12..]].concat())
    }

    /// An animation in a picture of 2 x 1.
    fn animation(frames: &[Vec<u8>]) -> Vec<u8> {
        let size = chunk(b"VP8X", &[0x12, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
        let body = [b"WEBP".to_vec(), size, chunk(b"ANIM", &[9; 6]), frames.concat()].concat();
        chunk(b"RIFF", &body)
    }

    #[test]
    fn animations_open_as_their_first_frame() {
        let path = Path::new("moves.webp");
        let file = animation(&[frame([1, 2, 3, 255], 0), frame([201, 2, 3, 128], 0)]);
        let frames = open_frames_bytes(path, file.clone(), 5).unwrap();
        let pixels: Vec<_> = frames.iter().map(|frame| frame.pixels.data()).collect();
        assert_eq!(pixels, [[1, 2, 3, 0, 0, 0], [101, 1, 2, 0, 0, 0]]);
        assert!(frames.iter().all(|frame| frame.mode == "RGBA" && frame.notes.len() == 1));
        assert_eq!(frames[1].dropped.alpha, [255, 0]);
        let first = open_bytes(path, file).unwrap();
        assert_eq!(first.pixels, frames[0].pixels);
        assert_eq!(first.notes[1], "animated: only the first frame is used");
        let only = open_bytes(path, animation(&[frame([1, 2, 3, 255], 0)])).unwrap();
        assert_eq!(only.notes.len(), 1);
    }

    #[test]
    fn frames_outside_of_the_picture_are_refused() {
        let file = animation(&[frame([1, 2, 3, 255], 0), frame([1, 2, 3, 255], 1)]);
        let problem = open_bytes(Path::new("moves.webp"), file).unwrap_err().to_string();
        assert!(
            problem.contains("frame 1 of 1 x 1 pixels at 2, 0 in a picture of 2 x 1"),
            "{problem}"
        );
    }
}

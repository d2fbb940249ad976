//! The frames of a WebP animation, as Pillow has them from libwebp: `anim_decode.c`. Each is decoded as a
//! still picture of its own; the decoder's way of blending rounds otherwise.

use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use image_webp::WebPDecoder;

use super::canvas::{Area, Canvas};
use super::format::ImageFormat;
use super::opened::{broken, failed_read, no_memory, truncated};
use super::stream::{Stream, length};
use super::webp_file::{failed, sides, u32_at};
use vae_fidelity_files::error::Result;
use vae_fidelity_files::memory::reserve;

const WEBP: ImageFormat = ImageFormat::Webp;

/// How long the header of a frame is (RFC 9649): its area, duration and flags.
const FRAME_HEADER: u64 = 16;

/// A frame before its pixels are decoded.
#[derive(Clone)]
struct Frame {
    area: Area,
    /// Whether it is drawn over what is there, and not in its place.
    over: bool,
    /// Whether its area is cleared before the next.
    cleared: bool,
    /// Where the chunk of its alpha lies, which is none of a lossless one, and that of its colours; with
    /// header.
    alpha: Option<(u64, u64)>,
    colours: (u64, u64),
    lossless: bool,
    /// Whether it says that it has alpha.
    has_alpha: bool,
}

/// An animation, and what is shown of it.
pub(super) struct Animation<'p> {
    path: &'p Path,
    file: Stream,
    width: usize,
    height: usize,
    canvas: Canvas,
    frames: std::vec::IntoIter<Frame>,
    /// The last frame, and whether nothing of what was before it was left.
    last: Option<(Frame, bool)>,
}

impl<'p> Animation<'p> {
    /// Finds the frames, and draws none.
    pub(super) fn new(
        path: &'p Path,
        mut file: Stream,
        width: usize,
        height: usize,
    ) -> Result<Self> {
        let canvas = Canvas::new(path, width, height, &[0; 4])?;
        let frames = found(path, &mut file, width, height)?.into_iter();
        Ok(Self { path, file, width, height, canvas, frames, last: None })
    }

    /// Whether there is a frame that is not drawn yet.
    pub(super) fn has_more(&self) -> bool {
        !self.frames.as_slice().is_empty()
    }

    /// What is shown: red, green, blue and alpha of each pixel.
    pub(super) fn shown(&self) -> &[u8] {
        self.canvas.data()
    }

    /// Draws the next frame, if there is one.
    pub(super) fn draw(&mut self) -> Result<()> {
        let Some(frame) = self.frames.next() else { return Ok(()) };
        let all = Area::whole(self.width, self.height);
        let anew = match &self.last {
            None => true,
            Some(_) if (!frame.has_alpha || !frame.over) && frame.area == all => true,
            Some((last, anew)) => last.cleared && (last.area == all || *anew),
        };
        let pixels = self.pixels(&frame)?;
        // What is blended with nothing stays as it is.
        let mut cleared = None;
        if anew {
            self.canvas.fill(all, &[0; 4]);
            cleared = Some(all);
        } else if let Some((last, _)) = self.last.as_ref().filter(|(last, _)| last.cleared) {
            self.canvas.fill(last.area, &[0; 4]);
            cleared = Some(last.area);
        }
        let length = frame.area.width * 4;
        for (y, to) in self.canvas.rows_of(frame.area).enumerate() {
            let from = &pixels[y * length..][..length];
            for (x, (to, from)) in to.chunks_exact_mut(4).zip(from.chunks_exact(4)).enumerate() {
                let at = Area {
                    left: frame.area.left + x,
                    top: frame.area.top + y,
                    width: 1,
                    height: 1,
                };
                if frame.over && cleared.is_none_or(|cleared| !cleared.holds(at)) {
                    blend([from[0], from[1], from[2], from[3]], to);
                } else {
                    to.copy_from_slice(from);
                }
            }
        }
        self.last = Some((frame, anew));
        Ok(())
    }

    /// The pixels of a frame, in RGBA.
    fn pixels(&mut self, frame: &Frame) -> Result<Vec<u8>> {
        let (path, Area { width, height, .. }) = (self.path, frame.area);
        // An extended file of one picture: what is lossless has the alpha that it holds, whatever it says.
        let flags = if frame.alpha.is_some() || frame.lossless { 16 } else { 0 };
        let side = |side: usize| ((side - 1) as u32).to_le_bytes();
        let mut still = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0".to_vec();
        still.extend([flags, 0, 0, 0]);
        still.extend(&side(width)[..3]);
        still.extend(&side(height)[..3]);
        for (at, length) in frame.alpha.into_iter().chain([frame.colours]) {
            reserve(&mut still, length as usize + 1).map_err(|_| no_memory(path))?;
            self.file.seek(SeekFrom::Start(at)).map_err(|error| failed_read(path, WEBP, &error))?;
            let read = self.file.by_ref().take(length).read_to_end(&mut still);
            read.map_err(|error| failed_read(path, WEBP, &error))?;
            if length % 2 == 1 {
                still.push(0);
            }
        }
        let length = still.len() as u32 - 8;
        still[4..8].copy_from_slice(&length.to_le_bytes());

        let failed = |error| failed(path, error);
        let mut decoder = WebPDecoder::new(Cursor::new(still)).map_err(failed)?;
        let size = decoder.output_buffer_size().ok_or_else(|| no_memory(path))?;
        let mut data = Vec::new();
        reserve(&mut data, width * height * 4).map_err(|_| no_memory(path))?;
        data.resize(size, 0);
        decoder.read_image(&mut data).map_err(failed)?;
        if !decoder.has_alpha() {
            data.resize(width * height * 4, 0);
            for at in (0..width * height).rev() {
                data.copy_within(at * 3..at * 3 + 3, at * 4);
                data[at * 4 + 3] = 255;
            }
        }
        Ok(data)
    }
}

/// All frames of the file.
fn found(path: &Path, file: &mut Stream, width: usize, height: usize) -> Result<Vec<Frame>> {
    let failed = |error: std::io::Error| failed_read(path, WEBP, &error);
    let mut head = [0; 8];
    file.rewind().and_then(|()| file.read_exact(&mut head)).map_err(failed)?;
    let end = u64::from(u32_at(&head, 4)) + 8;
    if end > length(file).map_err(failed)? {
        return Err(truncated(path, WEBP));
    }
    let mut frames = Vec::new();
    let mut at = 12;
    while at + 8 <= end {
        let chunk: [u8; 8] = read_at(file, at).map_err(failed)?;
        let body = u64::from(u32_at(&chunk, 4));
        let next = at + 8 + body + body % 2;
        if next > end {
            return Err(truncated(path, WEBP));
        }
        if matches!(&chunk[..4], b"VP8 " | b"VP8L" | b"ALPH") {
            return Err(broken(path, WEBP, "pixels outside of the frames"));
        }
        if &chunk[..4] == b"ANMF" {
            let number = frames.len();
            let frame = frame_at(path, file, at + 8, next)?;
            let Area { left, top, width: columns, height: rows } = frame.area;
            if !frame.area.fits(width, height) {
                let reason = format!(
                    "frame {number} of {columns} x {rows} pixels at {left}, {top} in a picture of {width} x {height}"
                );
                return Err(broken(path, WEBP, reason));
            }
            if frames.len() == frames.capacity() {
                let more = frames.len().max(16);
                reserve(&mut frames, more).map_err(|_| no_memory(path))?;
            }
            frames.push(frame);
        }
        at = next;
    }
    Ok(frames)
}

/// The frame whose header lies at `at`, and whose chunks end at `end`.
fn frame_at(path: &Path, file: &mut Stream, at: u64, end: u64) -> Result<Frame> {
    let failed = |error: std::io::Error| failed_read(path, WEBP, &error);
    let header: [u8; FRAME_HEADER as usize] = read_at(file, at).map_err(failed)?;
    let of = |at: usize| {
        usize::from(header[at])
            | usize::from(header[at + 1]) << 8
            | usize::from(header[at + 2]) << 16
    };
    // Its pixels, not its header, say how large it is.
    let mut area = Area { left: 2 * of(0), top: 2 * of(3), width: 0, height: 0 };
    let mut alpha = None;
    let mut at = at + FRAME_HEADER;
    while at + 8 <= end {
        let mut chunk = [0; 18];
        let known = (end - at).min(18) as usize;
        file.seek(SeekFrom::Start(at)).map_err(failed)?;
        file.read_exact(&mut chunk[..known]).map_err(failed)?;
        let length = 8 + u64::from(u32_at(&chunk, 4));
        if at + length > end {
            return Err(truncated(path, WEBP));
        }
        if &chunk[..4] == b"ALPH" && alpha.is_none() {
            alpha = Some((at, length));
            at += length + length % 2;
            continue;
        }
        let Some(sides) = sides(&chunk) else { break };
        let lossless = &chunk[..4] == b"VP8L";
        if lossless && alpha.is_some() {
            break;
        }
        area.width = sides.0 as usize;
        area.height = sides.1 as usize;
        if area.width == 0 || area.height == 0 {
            break;
        }
        return Ok(Frame {
            area,
            over: header[15] & 2 == 0,
            cleared: header[15] & 1 != 0,
            alpha,
            colours: (at, length),
            lossless,
            has_alpha: alpha.is_some() || lossless && chunk[12] & 16 != 0,
        });
    }
    Err(broken(path, WEBP, "a frame without pixels"))
}

/// `over` onto `to`, neither multiplied by its alpha (`BlendPixelNonPremult`).
fn blend(over: [u8; 4], to: &mut [u8]) {
    let alpha = u32::from(over[3]);
    match alpha {
        0 => return,
        255 => return to.copy_from_slice(&over),
        _ => {}
    }
    let below = (u32::from(to[3]) * (256 - alpha)) >> 8;
    let both = alpha + below;
    let scale = (1 << 24) / both;
    for (to, &over) in to.iter_mut().zip(&over[..3]) {
        let sum = u32::from(over) * alpha + u32::from(*to) * below;
        *to = (sum.wrapping_mul(scale) >> 24) as u8;
    }
    to[3] = both as u8;
}

fn read_at<const N: usize>(file: &mut Stream, at: u64) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partly_transparent_pixels_blend_as_in_libwebp() {
        let of = |over: [u8; 4], mut below: [u8; 4]| {
            blend(over, &mut below);
            below
        };
        assert_eq!(of([9, 9, 9, 0], [1, 2, 3, 4]), [1, 2, 3, 4]);
        assert_eq!(of([9, 9, 9, 255], [1, 2, 3, 4]), [9, 9, 9, 255]);
        // 255 * 128 / 256 = 127 of what is below; 255 in all.
        assert_eq!(of([200, 0, 255, 128], [100, 255, 255, 255]), [150, 126, 254, 255]);
        assert_eq!(of([200, 10, 0, 3], [0, 0, 0, 0]), [199, 9, 0, 3]);
    }
}

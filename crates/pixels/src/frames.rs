//! Opening the frames of an animation: `Image.open(path)`, then `seek(n)` and `convert("RGB")` for each.

use std::io::Cursor;
use std::path::Path;

use super::format::ImageFormat;
use super::open::{decoded, dispatch, file_at};
use super::opened::OpenedImage;
use super::stream::Stream;
use vae_fidelity_files::error::Result;

/// The first `count` frames of an animation (GIF, APNG, WebP), each with the bytes that Pillow 13.0.0 gives
/// when `seek(0)`, `seek(1)` and so on are each followed by `convert("RGB")`; of a still picture its only
/// one. A file that has fewer gives those it has. All have one size.
///
/// What conversion drops is kept as [`super::open()`] keeps it, so that [`OpenedImage::into_rgba`] is
/// Pillow's `convert("RGBA")` of the frame.
///
/// # Errors
///
/// As [`super::open()`]; and for what Pillow makes no animation of, such as a GIF frame that reaches beyond
/// the first one's picture.
pub fn open_frames(path: &Path, count: usize) -> Result<Vec<OpenedImage>> {
    let (file, bytes) = file_at(path)?;
    frames(path, file, bytes, count)
}

/// As [`open_frames`], of a file that lies in memory; errors call it `name`.
///
/// # Errors
///
/// As [`open_frames`].
pub fn open_frames_bytes(name: &Path, file: Vec<u8>, count: usize) -> Result<Vec<OpenedImage>> {
    let bytes = file.len() as u64;
    frames(name, Box::new(Cursor::new(file)), bytes, count)
}

fn frames(path: &Path, file: Stream, bytes: u64, count: usize) -> Result<Vec<OpenedImage>> {
    decoded(path, file, bytes, |path, file, format| match format {
        #[cfg(feature = "gif")]
        ImageFormat::Gif => crate::gif::frames(path, file, count),
        #[cfg(feature = "png")]
        ImageFormat::Png => crate::png_frames::frames(path, file, count),
        #[cfg(feature = "webp")]
        ImageFormat::Webp => crate::webp::frames(path, file, count),
        still => {
            let mut only = vec![dispatch(path, file, still)?];
            only.truncate(count);
            Ok(only)
        }
    })
}

#[cfg(all(test, feature = "gif"))]
mod tests {
    use super::*;

    const PALETTE: [u8; 12] = [10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120];

    /// Two pixels, behind what stands before the frame.
    fn frame(before: &[u8], left: u8, [first, second]: [u16; 2]) -> Vec<u8> {
        // A clear code, both indices and the end, of three bits each.
        let codes = 4 | first << 3 | second << 6 | 5 << 9;
        let [low, high] = codes.to_le_bytes();
        [before, &[b',', left, 0, 0, 0, 2, 0, 1, 0, 0, 2, 2, low, high, 0]].concat()
    }

    /// Disposal and transparent index of the frame behind it.
    fn control(disposal: u8, transparent: u8) -> [u8; 8] {
        [b'!', 0xF9, 4, disposal << 2 | 1, 0, 0, transparent, 0]
    }

    fn gif(frames: &[Vec<u8>]) -> Vec<u8> {
        let head = [b"GIF89a\x02\0\x01\0\x81\0\0".as_slice(), &PALETTE].concat();
        [head, frames.concat(), b";".to_vec()].concat()
    }

    fn opened(file: &[u8], count: usize) -> Result<Vec<OpenedImage>> {
        open_frames_bytes(Path::new("moves.gif"), file.to_vec(), count)
    }

    #[test]
    fn frames_are_drawn_over_what_the_last_left() {
        let frames = [
            frame(&control(1, 3), 0, [0, 1]),
            frame(&control(2, 3), 0, [3, 2]),
            frame(&[], 0, [1, 0]),
        ];
        let file = gif(&frames);
        let frames = opened(&file, 9).unwrap();
        let pixels: Vec<_> = frames.iter().map(|frame| frame.pixels.data()).collect();
        assert_eq!(
            pixels,
            [[10, 20, 30, 40, 50, 60], [10, 20, 30, 70, 80, 90], [40, 50, 60, 10, 20, 30]]
        );
        assert_eq!(
            frames.iter().map(|frame| frame.mode).collect::<Vec<_>>(),
            ["P", "RGBA", "RGBA"]
        );
        assert!(frames.iter().all(|frame| frame.notes.is_empty()));
        let still = crate::open_bytes(Path::new("moves.gif"), file.clone()).unwrap();
        assert_eq!(still.pixels, frames[0].pixels);
        assert_eq!(still.notes, ["animated: only the first frame is used"]);
        for count in 0..4 {
            assert_eq!(opened(&file, count).unwrap().len(), count.min(3));
        }
    }

    #[test]
    fn frames_that_are_no_animation_are_refused() {
        let beyond = gif(&[frame(&[], 0, [0, 1]), frame(&[], 1, [0, 1])]);
        let problem = opened(&beyond, 2).unwrap_err().to_string();
        assert!(problem.contains("frame 1 reaching 3 x 1 in a picture of 2 x 1"), "{problem}");
        assert_eq!(opened(&beyond, 1).unwrap().len(), 1);
        let file = gif(&[frame(&[], 0, [0, 1]), frame(&[], 0, [1, 0])]);
        let problem = opened(&file[..file.len() - 4], 2).unwrap_err().to_string();
        assert!(problem.contains("truncated"), "{problem}");
        assert_eq!(opened(&file[..file.len() - 1], 2).unwrap().len(), 2);
    }

    #[cfg(feature = "pnm")]
    #[test]
    fn a_still_picture_is_its_only_frame() {
        let file = b"P6 1 1 255\n\x01\x02\x03";
        let frames = open_frames_bytes(Path::new("still.ppm"), file.to_vec(), 5).unwrap();
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0].pixels.data(), [1, 2, 3]);
    }
}

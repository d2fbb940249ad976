//! Pixels turned as an EXIF orientation asks, as Pillow's `ImageOps.exif_transpose` does.

use super::rgb8::Rgb8;
use vae_fidelity_files::error::{Error, Result};
use vae_fidelity_files::memory::reserve;

/// `picture`, stored with this EXIF orientation, as it is to be seen.
pub(super) fn turned(picture: &Rgb8, orientation: u16) -> Result<Rgb8> {
    let (width, height) = (picture.width(), picture.height());
    let (pixels, _) = picture.data().as_chunks::<3>();
    let data = turned_pixels(pixels, (width, height), orientation)?.into_flattened();
    match orientation {
        5.. => Rgb8::new(height, width, data),
        _ => Rgb8::new(width, height, data),
    }
}

/// The `pixels` of a picture of `width` and `height`, whatever they consist of, in the same way.
pub(super) fn turned_pixels<T: Copy>(
    pixels: &[T],
    (width, height): (usize, usize),
    orientation: u16,
) -> Result<Vec<T>> {
    let (columns, rows) = if orientation >= 5 { (height, width) } else { (width, height) };
    let mut data = Vec::new();
    reserve(&mut data, pixels.len()).map_err(|_| {
        let problem = format!("no memory to turn {width} x {height} pixels");
        Error::tensor("the picture", problem, "reduce the picture first")
    })?;
    let (right, bottom) = (width - 1, height - 1);
    for y in 0..rows {
        for x in 0..columns {
            let (from_x, from_y) = match orientation {
                2 => (right - x, y),
                3 => (right - x, bottom - y),
                4 => (x, bottom - y),
                5 => (y, x),
                6 => (y, bottom - x),
                7 => (right - y, bottom - x),
                8 => (right - y, x),
                _ => (x, y),
            };
            data.push(pixels[from_y * width + from_x]);
        }
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `PIL.ImageOps.exif_transpose` of the rows `0 1 2` and `3 4 5`.
    #[test]
    fn pictures_turn_as_pillow_turns_them() {
        let data = (0..6).flat_map(|value| [value; 3]).collect();
        let picture = Rgb8::new(3, 2, data).unwrap();
        let cases: [(u16, [usize; 2], [u8; 6]); 8] = [
            (1, [3, 2], [0, 1, 2, 3, 4, 5]),
            (2, [3, 2], [2, 1, 0, 5, 4, 3]),
            (3, [3, 2], [5, 4, 3, 2, 1, 0]),
            (4, [3, 2], [3, 4, 5, 0, 1, 2]),
            (5, [2, 3], [0, 3, 1, 4, 2, 5]),
            (6, [2, 3], [3, 0, 4, 1, 5, 2]),
            (7, [2, 3], [5, 2, 4, 1, 3, 0]),
            (8, [2, 3], [2, 5, 1, 4, 0, 3]),
        ];
        for (orientation, size, expected) in cases {
            let turned = turned(&picture, orientation).unwrap();
            assert_eq!([turned.width(), turned.height()], size, "{orientation}");
            let values: Vec<u8> = turned.data().iter().copied().step_by(3).collect();
            assert_eq!(values, expected, "{orientation}");
        }
    }
}

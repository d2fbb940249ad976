//! Pictures turned as their camera says, as Pillow's `ImageOps.exif_transpose` does.

use std::fmt;
use std::str::FromStr;

use super::exif::orientation_note;
use super::opened::OpenedImage;
use super::rgb8::Rgb8;
use vae_fidelity_files::error::{Error, Result};
use vae_fidelity_files::memory::reserve;

/// What is done with the EXIF orientation of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Exif {
    /// Nothing, as by Pillow's `open` and the reference script: pixels are used as they are stored.
    #[default]
    Ignore,
    /// The picture is turned before anything else, as diffusers' `load_image` and ComfyUI do.
    Apply,
}

impl fmt::Display for Exif {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ignore => "ignore",
            Self::Apply => "apply",
        })
    }
}

impl FromStr for Exif {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "ignore" => Ok(Self::Ignore),
            "apply" => Ok(Self::Apply),
            _ => Err("expected ignore or apply".to_owned()),
        }
    }
}

impl OpenedImage {
    /// The picture with its orientation treated as `exif` says, and the orientation that was applied.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no memory for the turned picture.
    pub fn oriented(mut self, exif: Exif) -> Result<(Self, Option<u16>)> {
        let Some(orientation) = self.orientation.filter(|_| exif == Exif::Apply) else {
            return Ok((self, None));
        };
        self.pixels = turned(&self.pixels, orientation)?;
        self.orientation = None;
        let ignored = orientation_note(orientation);
        self.notes.retain(|note| *note != ignored);
        let applied = "is applied before anything else, as by Pillow's exif_transpose";
        self.notes.push(format!("EXIF orientation {orientation} {applied}"));
        Ok((self, Some(orientation)))
    }
}

/// `picture`, stored with this EXIF orientation, as it is to be seen.
fn turned(picture: &Rgb8, orientation: u16) -> Result<Rgb8> {
    let (width, height) = (picture.width(), picture.height());
    let sideways = orientation >= 5;
    let (columns, rows) = if sideways { (height, width) } else { (width, height) };
    let mut data = Vec::new();
    reserve(&mut data, picture.data().len()).map_err(|_| {
        let problem = format!("no memory to turn {width} x {height} pixels");
        Error::tensor("the picture", problem, "reduce the picture first")
    })?;
    for y in 0..rows {
        for x in 0..columns {
            let (right, bottom) = (width - 1, height - 1);
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
            data.extend(picture.pixel(from_x, from_y));
        }
    }
    Rgb8::new(columns, rows, data)
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

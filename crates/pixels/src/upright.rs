//! Pictures turned as their camera says, as Pillow's `ImageOps.exif_transpose` does.

use std::fmt;
use std::str::FromStr;

use super::exif::orientation_note;
use super::opened::OpenedImage;
use super::turned::turned;
use vae_fidelity_files::error::Result;

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
        self.dropped = self.dropped.turned(&self.pixels, orientation)?;
        self.pixels = turned(&self.pixels, orientation)?;
        self.orientation = None;
        let ignored = orientation_note(orientation);
        self.notes.retain(|note| *note != ignored);
        let applied = "is applied before anything else, as by Pillow's exif_transpose";
        self.notes.push(format!("EXIF orientation {orientation} {applied}"));
        Ok((self, Some(orientation)))
    }
}

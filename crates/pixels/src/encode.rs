//! RGB8 to a PNG file, and to and from the `image` crate's picture.

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};

use super::Rgb8;
use vae_fidelity_files::error::{Error, ErrorKind, Result};

/// `pixels` as the bytes of an 8-bit RGB PNG file. Every reader gives the same pixels back.
///
/// Errors when a side does not fit PNG's 31 bits.
pub fn encode_png(pixels: &Rgb8) -> Result<Vec<u8>> {
    let (width, height) = (pixels.width(), pixels.height());
    let failed = |problem: String| {
        let problem = format!("{width} x {height} pixels: {problem}");
        Error::new(ErrorKind::Output, "PNG", problem, "use a smaller picture")
    };
    let side = |side: usize| u32::try_from(side).map_err(|error| failed(error.to_string()));
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes)
        .write_image(pixels.data(), side(width)?, side(height)?, ExtendedColorType::Rgb8)
        .map_err(|error| failed(error.to_string()))?;
    Ok(bytes)
}

impl TryFrom<RgbImage> for Rgb8 {
    type Error = Error;

    /// Errors when a side is zero.
    fn try_from(image: RgbImage) -> Result<Self> {
        Self::new(image.width() as usize, image.height() as usize, image.into_raw())
    }
}

//! To and from the `image` crate's pictures.

use image::{Rgb, RgbImage};

use super::Rgb8;
use vae_fidelity_files::error::{Error, Result};

impl TryFrom<RgbImage> for Rgb8 {
    type Error = Error;

    /// # Errors
    ///
    /// When a side is zero.
    fn try_from(image: RgbImage) -> Result<Self> {
        Self::new(image.width() as usize, image.height() as usize, image.into_raw())
    }
}

impl From<&Rgb8> for RgbImage {
    fn from(pixels: &Rgb8) -> Self {
        let at = |x: u32, y: u32| {
            let first = (y as usize * pixels.width() + x as usize) * 3;
            Rgb([first, first + 1, first + 2].map(|index| pixels.data()[index]))
        };
        // `Rgb8` has sides that fit a picture that Pillow opens.
        Self::from_fn(pixels.width() as u32, pixels.height() as u32, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_survives_the_way_there_and_back() {
        let picture = Rgb8::new(2, 3, (0..18).collect()).unwrap();
        let there = RgbImage::from(&picture);
        assert_eq!(there.get_pixel(1, 2).0, [15, 16, 17]);
        assert_eq!(Rgb8::try_from(there).unwrap(), picture);
        assert!(Rgb8::try_from(RgbImage::new(0, 3)).is_err());
    }
}

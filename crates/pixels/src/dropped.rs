//! What the conversion to RGB leaves out of a file, and the pictures that other programs make with it.

use std::fmt;

use super::alpha8::Alpha8;
use super::rgb8::Rgb8;
use super::turned::turned_pixels;
use vae_fidelity_files::error::Result;

/// What Pillow's `convert("RGB")` leaves out of a file: nothing, of most.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Dropped {
    /// One for each pixel, 255 being opaque; empty where all are.
    pub(super) alpha: Vec<u8>,
    /// The colour that is transparent where it occurs, in a file that names one.
    pub(super) transparent: Option<[u8; 3]>,
    /// Grey of 16 bits, one for each pixel; empty where nothing was clipped.
    pub(super) grey16: Vec<u16>,
    /// An ICC profile; empty where there is none.
    pub(super) profile: Vec<u8>,
}

/// A way in which other programs make RGB of a file, with what Pillow's `convert("RGB")` drops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Transparent pixels composited on white.
    OnWhite,
    /// On black, as premultiplied colours are.
    OnBlack,
    /// On middle grey.
    OnGrey,
    /// Grey of 16 bits divided by 257, not clipped at 255.
    SixteenBitsScaled,
    /// Colours brought from the file's ICC profile to sRGB.
    ToSrgb,
}

impl Reading {
    /// All there are.
    pub const ALL: [Self; 5] =
        [Self::OnWhite, Self::OnBlack, Self::OnGrey, Self::SixteenBitsScaled, Self::ToSrgb];

    /// What it makes of `pixels`, of whose file `dropped` was left out; `None` where the file has nothing
    /// that it takes, and where the pixels stay as they are.
    ///
    /// # Errors
    ///
    /// Returns an error if `dropped` is of a picture of another size.
    pub fn apply(self, pixels: &Rgb8, dropped: &Dropped) -> Result<Option<Rgb8>> {
        let read = match self {
            Self::OnWhite => composited(pixels, &dropped.alpha, 255)?,
            Self::OnBlack => composited(pixels, &dropped.alpha, 0)?,
            Self::OnGrey => composited(pixels, &dropped.alpha, 128)?,
            Self::SixteenBitsScaled => scaled(pixels, &dropped.grey16)?,
            Self::ToSrgb => to_srgb(pixels, &dropped.profile),
        };
        Ok(read.filter(|read| read != pixels))
    }
}

impl Dropped {
    /// Whether pixels are not opaque.
    pub fn has_alpha(&self) -> bool {
        !self.alpha.is_empty()
    }

    /// How opaque `pixels` are, whose file this was left out of.
    ///
    /// # Errors
    ///
    /// Returns an error if `pixels` are of another size.
    pub fn alpha_of(&self, pixels: &Rgb8) -> Result<Alpha8> {
        if !self.alpha.is_empty() {
            return Alpha8::new(pixels.width(), pixels.height(), self.alpha.clone());
        }
        let Some(transparent) = self.transparent else { return Ok(Alpha8::opaque(pixels)) };
        let (colours, _) = pixels.data().as_chunks::<3>();
        let alpha = colours.iter().map(|&colour| if colour == transparent { 0 } else { 255 });
        Alpha8::new(pixels.width(), pixels.height(), alpha.collect())
    }

    /// Whether grey of 16 bits was clipped.
    pub fn has_grey16(&self) -> bool {
        !self.grey16.is_empty()
    }

    /// Whether there is an ICC profile.
    pub fn has_profile(&self) -> bool {
        !self.profile.is_empty()
    }

    /// The same, with the file's ICC profile.
    pub(super) fn with_profile(self, profile: Option<Vec<u8>>) -> Self {
        Self { profile: profile.unwrap_or_default(), ..self }
    }

    /// The same of `pixels` turned as their EXIF orientation asks.
    pub(super) fn turned(self, pixels: &Rgb8, orientation: u16) -> Result<Self> {
        let size = (pixels.width(), pixels.height());
        Ok(Self {
            transparent: self.transparent,
            alpha: turned_or_empty(&self.alpha, size, orientation)?,
            grey16: turned_or_empty(&self.grey16, size, orientation)?,
            profile: self.profile,
        })
    }
}

impl fmt::Debug for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { alpha, transparent, grey16, profile } = self;
        let (alpha, grey16, profile) = (alpha.len(), grey16.len(), profile.len());
        write!(
            f,
            "Dropped {{ alpha: [{alpha}], transparent: {transparent:?}, grey16: [{grey16}], \
             profile: [{profile}] }}"
        )
    }
}

fn turned_or_empty<T: Copy>(
    values: &[T],
    size: (usize, usize),
    orientation: u16,
) -> Result<Vec<T>> {
    match values {
        [] => Ok(Vec::new()),
        values => turned_pixels(values, size, orientation),
    }
}

/// Over a background of one level.
fn composited(pixels: &Rgb8, alpha: &[u8], background: u8) -> Result<Option<Rgb8>> {
    if alpha.is_empty() {
        return Ok(None);
    }
    let of = |level: u8, alpha: u8| {
        let (level, alpha) = (u32::from(level), u32::from(alpha));
        ((level * alpha + u32::from(background) * (255 - alpha) + 127) / 255) as u8
    };
    let (colours, _) = pixels.data().as_chunks::<3>();
    let data =
        colours.iter().zip(alpha).flat_map(|(rgb, &alpha)| rgb.map(|level| of(level, alpha)));
    Rgb8::new(pixels.width(), pixels.height(), data.collect()).map(Some)
}

/// 0 to 65535 as 0 to 255.
fn scaled(pixels: &Rgb8, grey16: &[u16]) -> Result<Option<Rgb8>> {
    if grey16.is_empty() {
        return Ok(None);
    }
    let data = grey16.iter().flat_map(|&value| [((u32::from(value) + 128) / 257) as u8; 3]);
    Rgb8::new(pixels.width(), pixels.height(), data.collect()).map(Some)
}

/// By the profile's own curves and matrix or tables; `None` where it is broken, or not of RGB.
#[cfg(feature = "icc")]
fn to_srgb(pixels: &Rgb8, profile: &[u8]) -> Option<Rgb8> {
    use std::panic::catch_unwind;

    use moxcms::{ColorProfile, Layout, TransformOptions};

    if profile.is_empty() {
        return None;
    }
    // Other people's code, fed with other people's bytes.
    let data = catch_unwind(|| {
        let from = ColorProfile::new_from_slice(profile).ok()?;
        let to = ColorProfile::new_srgb();
        let options = TransformOptions::default();
        let transform = from.create_transform_8bit(Layout::Rgb, &to, Layout::Rgb, options).ok()?;
        let mut data = vec![0; pixels.data().len()];
        transform.transform(pixels.data(), &mut data).ok()?;
        Some(data)
    });
    Rgb8::new(pixels.width(), pixels.height(), data.ok()??).ok()
}

#[cfg(not(feature = "icc"))]
fn to_srgb(_: &Rgb8, _: &[u8]) -> Option<Rgb8> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the opaque, the half transparent and the fully transparent there is what stands behind.
    #[test]
    fn alpha_lets_the_background_through() {
        let pixels = Rgb8::new(3, 1, [200, 100, 0].repeat(3)).unwrap();
        let dropped = Dropped { alpha: vec![255, 51, 0], ..Dropped::default() };
        let on = |reading: Reading| reading.apply(&pixels, &dropped).unwrap().unwrap();
        assert_eq!(on(Reading::OnWhite).data(), [200, 100, 0, 244, 224, 204, 255, 255, 255]);
        assert_eq!(on(Reading::OnBlack).data(), [200, 100, 0, 40, 20, 0, 0, 0, 0]);
        assert_eq!(on(Reading::OnGrey).data(), [200, 100, 0, 142, 122, 102, 128, 128, 128]);
        assert_eq!(Reading::SixteenBitsScaled.apply(&pixels, &dropped).unwrap(), None);
        assert_eq!(Reading::ToSrgb.apply(&pixels, &dropped).unwrap(), None);
        // Black under transparent pixels stays black on black.
        let black = Rgb8::new(3, 1, vec![0; 9]).unwrap();
        assert_eq!(Reading::OnBlack.apply(&black, &dropped).unwrap(), None);
    }

    #[test]
    fn sixteen_bits_are_divided_by_257() {
        let pixels = Rgb8::new(2, 1, vec![255; 6]).unwrap();
        let dropped = Dropped { grey16: vec![257 * 90, 65535], ..Dropped::default() };
        let read = Reading::SixteenBitsScaled.apply(&pixels, &dropped).unwrap().unwrap();
        assert_eq!(read.data(), [90, 90, 90, 255, 255, 255]);
    }

    #[test]
    fn what_is_dropped_turns_with_the_pixels() {
        let pixels = Rgb8::new(3, 2, (0..18).collect()).unwrap();
        let dropped = Dropped { alpha: (0..6).collect(), ..Dropped::default() };
        let turned = dropped.turned(&pixels, 6).unwrap();
        assert_eq!(turned.alpha, [3, 0, 4, 1, 5, 2]);
        assert!(turned.grey16.is_empty());
    }

    /// `ImageCms.profileToProfile` of Pillow 13.0.0 with littlecms 2.19, from Display P3 to sRGB.
    #[cfg(feature = "icc")]
    #[test]
    fn profiles_are_applied_as_littlecms_applies_them() {
        let colours: [[u8; 3]; 6] = [
            [200, 10, 30],
            [10, 200, 30],
            [30, 10, 200],
            [128, 128, 128],
            [250, 240, 20],
            [90, 60, 40],
        ];
        let expected: [[u8; 3]; 6] =
            [[219, 0, 9], [0, 204, 0], [33, 9, 208], [128, 128, 128], [252, 240, 0], [95, 58, 36]];
        let pixels = Rgb8::new(6, 1, colours.concat()).unwrap();
        let profile = moxcms::ColorProfile::new_display_p3().encode().unwrap();
        let dropped = Dropped { profile, ..Dropped::default() };
        let read = Reading::ToSrgb.apply(&pixels, &dropped).unwrap().unwrap();
        for (found, expected) in read.data().iter().zip(expected.as_flattened()) {
            assert!(found.abs_diff(*expected) <= 1, "{found}, expected {expected}");
        }
        // A profile that is cut off applies nothing.
        let broken = Dropped { profile: vec![0; 200], ..Dropped::default() };
        assert_eq!(Reading::ToSrgb.apply(&pixels, &broken).unwrap(), None);
    }
}

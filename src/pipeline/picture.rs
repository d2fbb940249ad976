//! What is sent through a VAE: a picture's file, or pixels or a sample that are in memory already.

use std::path::{Path, PathBuf};

use ndarray::{Array4, ArrayView4};

use crate::config::VaeConfig;
use crate::image_processor::{denormalize, denormalize_alpha, normalize, normalize_rgba};
use crate::pixels::{
    self, Alpha8, Dropped, Exif, Filter, OpenedImage, PassOrder, resize_bicubic, resize_rgba,
    target_size,
};
use crate::report::Input;
use crate::{Dtype, Error, Result, Rgb8};

/// A picture, and where it comes from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Picture<'a> {
    /// A file, opened as Pillow opens it.
    File(&'a Path),
    /// A picture's file whose bytes are in memory; reports call it `name`.
    Bytes {
        /// In place of a path.
        name: &'a Path,
        /// The whole file.
        bytes: Vec<u8>,
    },
    /// Pixels in RGB, as Pillow's `convert("RGB")` gives them; reports call them `name`.
    Pixels {
        /// In place of a path.
        name: &'a Path,
        /// Upright, before any resizing.
        pixels: Rgb8,
        /// How opaque they are, for a VAE of RGBA; `None` where all are, and for every other VAE.
        alpha: Option<Alpha8>,
        /// What the user should know of how they came about, for the report.
        notes: Vec<String>,
    },
    /// The frames of a clip, each as [`Self::Pixels`], where [`CheckOptions::frames`](super::CheckOptions::frames) asks
    /// for them; reports call them `name`.
    Frames {
        /// In place of a path.
        name: &'a Path,
        /// Upright, before any resizing.
        frames: Vec<(Rgb8, Option<Alpha8>)>,
        /// What the user should know of how they came about, for the report.
        notes: Vec<String>,
    },
    /// What the encoder is given, (1, 3, H, W) with values in [-1, 1], or (1, 4, H, W) in RGBA: nothing is
    /// resized, and it is compared by its own 8-bit picture, as [`denormalize`] makes it. The frames of a clip are
    /// (T, 3, H, W).
    Sample {
        /// In place of a path.
        name: &'a Path,
        /// Both sides are multiples of what the VAE asks for.
        sample: Array4<f32>,
    },
}

impl<'a, P: AsRef<Path> + ?Sized> From<&'a P> for Picture<'a> {
    fn from(path: &'a P) -> Self {
        Self::File(path.as_ref())
    }
}

/// What becomes of a [`Picture`] before it is resized.
pub(super) struct Taken {
    pub name: PathBuf,
    /// Pillow's name of the format; `memory` where there is no file.
    pub format: String,
    pub mode: String,
    pub pixels: Rgb8,
    /// How opaque they are, where the VAE is one of RGBA.
    pub alpha: Option<Alpha8>,
    /// What the conversion to RGB or RGBA left out; `None` where there is no file.
    pub dropped: Option<Dropped>,
    /// The EXIF orientation that was applied.
    pub turned: Option<u16>,
    /// The one that was not.
    pub orientation: Option<u16>,
    pub notes: Vec<String>,
    /// Where the encoder's sample is given in place of pixels.
    pub sample: Option<Array4<f32>>,
}

/// A picture at the size that it is encoded at.
#[derive(Clone)]
pub(super) struct Seen {
    pub pixels: Rgb8,
    /// Where the VAE is one of RGBA.
    pub alpha: Option<Alpha8>,
}

impl Picture<'_> {
    pub(super) fn name(&self) -> &Path {
        match self {
            Self::File(name)
            | Self::Bytes { name, .. }
            | Self::Pixels { name, .. }
            | Self::Frames { name, .. }
            | Self::Sample { name, .. } => name,
        }
    }

    /// The picture as a VAE of `config` takes it, in RGB or RGBA.
    pub(super) fn taken(self, exif: Exif, config: &VaeConfig) -> Result<Taken> {
        let name = self.name().to_owned();
        let of_file = |opened| Taken::of_file(&name, opened, exif, config);
        let in_memory = |pixels, alpha: Option<Alpha8>, notes, sample| Taken {
            name: name.clone(),
            format: "memory".to_owned(),
            mode: if alpha.is_some() { "RGBA" } else { "RGB" }.to_owned(),
            pixels,
            alpha,
            dropped: None,
            turned: None,
            orientation: None,
            notes,
            sample,
        };
        match self {
            Self::File(path) => of_file(pixels::open(path)?),
            Self::Bytes { name, bytes } => of_file(pixels::open_bytes(name, bytes)?),
            Self::Pixels { pixels, alpha, mut notes, .. } => {
                if !config.has_alpha() && alpha.is_some() {
                    notes.push("alpha is left out: this VAE takes RGB".to_owned());
                }
                let alpha =
                    config.has_alpha().then(|| alpha.unwrap_or_else(|| Alpha8::opaque(&pixels)));
                Ok(in_memory(pixels, alpha, notes, None))
            }
            Self::Frames { name, frames, .. } => Err(Error::image(
                name,
                format!("expected one picture, found {} frames", frames.len()),
                "ask for `frames`, or give one of them",
            )),
            Self::Sample { name, sample } => {
                check_sample(name, &sample, if config.has_alpha() { 4 } else { 3 })?;
                let pixels = denormalize(sample.view(), Dtype::F32)?;
                let alpha = denormalize_alpha(sample.view(), Dtype::F32)?;
                Ok(in_memory(pixels, alpha, Vec::new(), Some(sample)))
            }
        }
    }
}

impl Taken {
    /// What was opened of a file, as a VAE of `config` takes it.
    pub(super) fn of_file(
        name: &Path,
        opened: OpenedImage,
        exif: Exif,
        config: &VaeConfig,
    ) -> Result<Self> {
        let (opened, turned) = opened.oriented(exif)?;
        let (opened, alpha) = match config.has_alpha() {
            true => opened.into_rgba().map(|(opened, alpha)| (opened, Some(alpha)))?,
            false => (opened, None),
        };
        Ok(Self {
            name: name.to_owned(),
            format: opened.format.to_string(),
            mode: opened.mode.to_owned(),
            pixels: opened.pixels,
            alpha,
            dropped: Some(opened.dropped),
            turned,
            orientation: opened.orientation,
            notes: opened.notes,
            sample: None,
        })
    }

    /// The (width, height) that it is encoded at, multiples of `multiple_of`: a sample's own.
    pub(super) fn size(
        &self,
        requested: Option<(usize, usize)>,
        multiple_of: usize,
    ) -> Result<(usize, usize)> {
        let own = (self.pixels.width(), self.pixels.height());
        let size = target_size(own.0, own.1, requested, multiple_of)?;
        if self.sample.is_some() && size != own {
            return Err(Error::image(
                &self.name,
                format!(
                    "a sample of {} x {} pixels is not resized to {} x {}",
                    own.0, own.1, size.0, size.1
                ),
                format!(
                    "give one whose sides are multiples of {multiple_of}, and leave out `width` and \
                     `height`; or give 8-bit pixels, (H, W, 3)"
                ),
            ));
        }
        Ok(size)
    }

    /// The picture at the `width` and `height` that it is encoded at.
    pub(super) fn seen(&self, (width, height): (usize, usize)) -> Result<Seen> {
        let Some(alpha) = &self.alpha else {
            return Ok(Seen { pixels: resize_bicubic(&self.pixels, width, height)?, alpha: None });
        };
        let size = (width, height);
        let (pixels, alpha) =
            resize_rgba(&self.pixels, alpha, size, Filter::Bicubic, PassOrder::Pillow)?;
        Ok(Seen { pixels, alpha: Some(alpha) })
    }

    /// What the encoder is given in `dtype`, where the picture is `seen` at its size.
    pub(super) fn sample_of(&self, seen: &Seen, dtype: Dtype) -> Result<Array4<f32>> {
        match (&self.sample, &seen.alpha) {
            (Some(sample), _) => Ok(sample.mapv(|value| dtype.round(value))),
            (None, None) => Ok(normalize(&seen.pixels, dtype)),
            (None, Some(alpha)) => normalize_rgba(&seen.pixels, alpha, dtype),
        }
    }

    /// The picture for the report, of which the VAE saw `width` columns and `height` rows.
    pub(super) fn input(&self, (width, height): (usize, usize)) -> Input {
        Input {
            path: self.name.clone(),
            path_is_lossy: self.name.to_str().is_none(),
            format: self.format.clone(),
            mode: self.mode.clone(),
            exif_applied: self.turned,
            source_width: self.pixels.width(),
            source_height: self.pixels.height(),
            width,
            height,
        }
    }
}

/// What was decoded, and its alpha where the VAE is one of RGBA; neither where the arithmetic has no picture.
pub(super) fn picture_of(
    decoded: ArrayView4<f32>,
    dtype: Dtype,
) -> Result<(Option<Rgb8>, Option<Alpha8>)> {
    match dtype {
        Dtype::Bf16 => Ok((None, None)),
        _ => Ok((Some(denormalize(decoded, dtype)?), denormalize_alpha(decoded, dtype)?)),
    }
}

/// Refuses what is no sample of one picture.
fn check_sample(name: &Path, sample: &Array4<f32>, channels: usize) -> Result<()> {
    let refused = |problem: String, next: &str| Err(Error::image(name, problem, next));
    if !matches!(sample.dim(), (1, found, 1.., 1..) if found == channels) {
        return refused(
            format!("expected a sample of shape (1, {channels}, H, W), found {:?}", sample.dim()),
            "send one picture at a time, channels before height and width; or ask for `frames` of a clip",
        );
    }
    // f16 and bf16 may round past the end.
    const LARGEST: f32 = 1.01;
    if let Some(value) = sample.iter().find(|value| !(-LARGEST..=LARGEST).contains(*value)) {
        return refused(
            format!("expected values in [-1, 1], found {value}"),
            "give what the encoder sees: normalised with x / 127.5 - 1; or 8-bit pixels, (H, W, 3)",
        );
    }
    Ok(())
}

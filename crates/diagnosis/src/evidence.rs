//! What the rules look at: one run, and files of the user's own pipeline.

use ndarray::{Array4, ArrayD, ArrayView4, Axis, Ix3, Ix4, s};

use super::codes::Code;
use super::finding::Finding;
use vae_fidelity_core::Dtype;
use vae_fidelity_core::config::{Class, Family};
use vae_fidelity_core::image_processor::{self, denormalize_alpha};
use vae_fidelity_core::trace::TraceFile;
use vae_fidelity_core::vae::{Encoded, Vae};
use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::{Alpha8, Dropped, JpegCoding, OpenedImage, Rgb8};

/// One picture's way through a VAE, and what the user holds against it.
pub struct Evidence<'a> {
    /// What ran, and runs again where a rule tries an explanation.
    pub vae: &'a dyn Vae,
    /// The family that its config describes.
    pub family: Family,
    /// The file's pixels, before any resizing.
    pub source: &'a Rgb8,
    /// What the conversion to RGB left out of them; `None` where there was no file.
    pub dropped: Option<&'a Dropped>,
    /// The EXIF orientation that the pixels do not have.
    pub orientation: Option<u16>,
    /// Whether the user asked for the size that was encoded.
    pub size_requested: bool,
    /// What the VAE saw; where it saw nothing, since latents were given, what it decoded.
    pub seen: &'a Rgb8,
    /// Whether the latents were given, and no picture encoded.
    pub latents_are_given: bool,
    /// The same in [-1, 1], (1, 3, H, W), with alpha as a fourth channel where the VAE is one of RGBA.
    pub sample: &'a Array4<f32>,
    /// Moments and raw latents.
    pub encoded: &'a Encoded,
    /// Whether the raw latents are a draw from the posterior, not its mode.
    pub drawn: bool,
    /// Scaled latents, as the reference script scales them.
    pub latents: &'a Array4<f32>,
    /// The decoded sample before clamping, (1, 3, H, W).
    pub decoded: &'a Array4<f32>,
    /// The same VAE in f32, loaded when it is needed; `None` where that is what ran.
    pub reference: Option<Reference<'a>>,
    /// The same weights with another `norm_num_groups`; `None` where they cannot be loaded anew.
    pub regrouped: Option<Regrouped<'a>>,
    /// What the checkpoint says without running it, as [`crate::checkpoint_findings`] found it.
    pub weights: &'a [Finding],
    /// Files of the user's own pipeline.
    pub files: &'a UserFiles,
    /// Codes that no rule knows: what a run says then is what becomes of faults that nobody has written
    /// a rule for. No explanation by one of them is offered, and a rule that would return a finding of
    /// it leaves the word to those after it. For measuring only: empty in every other run.
    pub unknown: &'a [Code],
}

/// What a run is held against where its arithmetic is in doubt.
#[derive(Clone, Copy)]
pub struct Reference<'a> {
    /// What it is, as findings name it, for example `the reference engine on the CPU in f32`.
    pub name: &'a str,
    /// What to do where it is not what ran, in place of the code's own remedy.
    pub remedy: Option<&'a str>,
    /// Loads it.
    pub load: &'a dyn Fn() -> Result<Box<dyn Vae>>,
}

/// Loads the same weights with another `norm_num_groups`; gives `None` where they do not fit it.
pub type Regrouped<'a> = &'a dyn Fn(usize) -> Result<Option<Box<dyn Vae>>>;

/// What the user's own pipeline made of the same picture, with what should be the same VAE.
#[derive(Debug, Clone, Default)]
pub struct UserFiles {
    /// Its latents.
    pub latents: Option<ArrayD<f32>>,
    /// How they are scaled.
    pub latents_scale: LatentsScale,
    /// Its decoded picture.
    pub decoded_image: Option<UserPicture>,
    /// The tensor that it fed to the encoder.
    pub preprocessed: Option<ArrayD<f32>>,
    /// A trace of its layers.
    pub against: Option<TraceFile>,
}

/// A picture of the user's, and how its file was coded.
#[derive(Debug, Clone, PartialEq)]
pub struct UserPicture {
    /// Its pixels.
    pub pixels: Rgb8,
    /// How opaque they are; `None` where the picture has no alpha. A VAE of RGB does not look at it.
    pub alpha: Option<Alpha8>,
    /// What was rounded when it was saved; `None` where it is no JPEG.
    pub jpeg: Option<JpegCoding>,
}

impl From<Rgb8> for UserPicture {
    fn from(pixels: Rgb8) -> Self {
        Self { pixels, alpha: None, jpeg: None }
    }
}

impl From<OpenedImage> for UserPicture {
    fn from(opened: OpenedImage) -> Self {
        // Pixels that were put in place of the file's have no alpha.
        let alpha = opened.dropped.alpha_of(&opened.pixels).ok();
        let has_alpha = ["RGBA", "LA", "PA"].contains(&opened.mode);
        let alpha = alpha.filter(|alpha| has_alpha || !alpha.is_opaque());
        Self { pixels: opened.pixels, alpha, jpeg: opened.jpeg }
    }
}

/// What has been done to latents since the encoder made them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LatentsScale {
    /// Scaled for diffusion: times `scaling_factor`, after shift or per-channel statistics.
    #[default]
    Scaled,
    /// As the model makes them.
    Raw,
}

impl LatentsScale {
    /// In words, for a title.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Scaled => "scaled",
            Self::Raw => "raw",
        }
    }
}

/// The colours of a sample (N, 3, H, W), or of one in RGBA (N, 4, H, W).
pub(super) fn colours(sample: &Array4<f32>) -> ArrayView4<'_, f32> {
    sample.slice(s![.., ..sample.dim().1.min(3), .., ..])
}

impl Evidence<'_> {
    /// What the encoder is given of another `picture` in f32; for a VAE of RGBA with the alpha of the one
    /// that it saw, where both are of one size, and opaque where they are not.
    pub(super) fn sample_of(&self, picture: &Rgb8) -> Result<Array4<f32>> {
        let alpha = denormalize_alpha(self.sample.view(), Dtype::F32)?;
        let of_size =
            |alpha: &Alpha8| (alpha.width(), alpha.height()) == (picture.width(), picture.height());
        let alpha = alpha.filter(of_size);
        image_processor::sample_of(self.vae.config(), picture, alpha.as_ref(), Dtype::F32)
    }

    /// Whether a rule may find `code`: what models of this class cannot have is not found in them, nor what
    /// this file does not hide.
    pub(super) fn knows(&self, code: Code) -> bool {
        let hides = match code {
            Code::AlphaMismatch => self.dropped.is_some_and(Dropped::has_alpha),
            Code::BitDepthMismatch => self.dropped.is_some_and(Dropped::has_grey16),
            Code::ColourProfileMismatch => self.dropped.is_some_and(Dropped::has_profile),
            _ => true,
        };
        hides && !self.unknown.contains(&code) && can_happen(code, self.vae.config().class())
    }

    /// A finding, where its code is known.
    pub(super) fn known(&self, finding: impl Into<Option<Finding>>) -> Option<Finding> {
        finding.into().filter(|finding| self.knows(finding.code))
    }

    /// What one rule found, where all of it is known; `None` leaves the word to other rules.
    pub(super) fn all_known(&self, findings: Vec<Finding>) -> Option<Vec<Finding>> {
        findings.iter().all(|finding| self.knows(finding.code)).then_some(findings)
    }

    /// Whether what is decoded comes from latents of the user's.
    pub(super) fn has_users_latents(&self) -> bool {
        self.latents_are_given || self.files.latents.is_some()
    }

    /// Mean of the posterior (N, C, h, w): the first half of the moments, else the latents where
    /// they are the mode.
    pub(super) fn mean(&self) -> Option<Array4<f32>> {
        match &self.encoded.moments {
            Some(moments) => {
                let channels = moments.dim().1 / 2;
                Some(moments.slice(ndarray::s![.., ..channels, .., ..]).to_owned())
            }
            None => (!self.drawn).then(|| self.encoded.latents.clone()),
        }
    }
}

/// Whether models of `class` can have what `code` names.
fn can_happen(code: Code, class: Class) -> bool {
    match code {
        Code::ScalingFactorMismatch => class != Class::AutoencoderKLFlux2 && !class.is_of_clips(),
        Code::ShiftFactorDropped => class == Class::AutoencoderKL,
        Code::LatentStatsIgnored => class == Class::AutoencoderKL || class.is_of_clips(),
        // They have no posterior, and pad on all sides where they halve them.
        Code::SampleVsMode | Code::PosteriorNoise | Code::PosteriorCollapsed => {
            ![Class::AutoencoderTiny, Class::AutoencoderDC].contains(&class)
        }
        Code::SymmetricDownsamplePadding => {
            let others =
                [Class::AutoencoderTiny, Class::AutoencoderDC, Class::AutoencoderKLHunyuanImage];
            !others.contains(&class)
        }
        Code::TileBlendUnits => {
            let others = [Class::AsymmetricAutoencoderKL, Class::AutoencoderDC];
            !others.contains(&class) && !class.is_of_clips()
        }
        Code::BatchNormStatistics | Code::LatentPatchOrder => class == Class::AutoencoderKLFlux2,
        _ => true,
    }
}

/// A tensor of four dimensions, or of three that lack the batch's; `None` for any other.
pub(super) fn with_batch(tensor: &ArrayD<f32>) -> Option<ArrayView4<'_, f32>> {
    let view = tensor.view();
    match tensor.ndim() {
        3 => view.into_dimensionality::<Ix3>().ok().map(|view| view.insert_axis(Axis(0))),
        _ => view.into_dimensionality::<Ix4>().ok(),
    }
}

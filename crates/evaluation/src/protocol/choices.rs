//! The choices themselves, in words; two protocols with the same ones give the same numbers.

use serde::{Deserialize, Serialize};
use vae_fidelity_core::metrics::{Covariance, SsimBorder, SsimWindow};
use vae_fidelity_kernels::threads::Instructions;
use vae_fidelity_perceptual::{InceptionInput, Net, UnitLength};
use vae_fidelity_pixels::{Exif, Filter};

/// From a picture's file to the sample that the encoder is given.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Input {
    /// What is done with the EXIF orientation, before anything else.
    pub exif: ExifChoice,
    /// How the picture comes to its size.
    pub resize: Resize,
    /// The filter of that; of `adm` after halving, which is by box.
    pub filter: FilterChoice,
    /// Pixels a side; for `multiple-of` what both sides are taken down to a multiple of.
    pub size: usize,
}

/// How a picture comes to its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Resize {
    /// Resized as `check` does it, each side down to a multiple of `size`; nothing is cropped.
    MultipleOf,
    /// Halved by box while the shorter side is at least `2 * size`, resized so that it is `size`, its
    /// square in the middle cut out: `center_crop_arr` of OpenAI's guided-diffusion.
    Adm,
    /// The shorter side resized to `size` in 8-bit pixels, its square in the middle cut out: torchvision's
    /// `Resize` and `CenterCrop` of a Pillow picture.
    ShortSide,
    /// The same of a tensor of floats, antialiased: torchvision's after `ToTensor`. Bilinear only.
    ShortSideTensor,
    /// Both sides resized to `size`.
    Stretch,
}

/// A filter of Pillow's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum FilterChoice {
    /// The mean of the pixels covered.
    Box,
    /// A triangle.
    Bilinear,
    /// Keys' cubic.
    Bicubic,
    /// A windowed sinc.
    Lanczos,
}

impl FilterChoice {
    /// As the crate for pictures names it.
    pub fn filter(self) -> Filter {
        match self {
            Self::Box => Filter::Box,
            Self::Bilinear => Filter::Bilinear,
            Self::Bicubic => Filter::Bicubic,
            Self::Lanczos => Filter::Lanczos,
        }
    }
}

/// What is done with an EXIF orientation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ExifChoice {
    /// Nothing, as Pillow's `open`.
    Ignore,
    /// The picture is turned.
    Apply,
}

impl ExifChoice {
    /// As the crate for pictures names it.
    pub fn exif(self) -> Exif {
        match self {
            Self::Ignore => Exif::Ignore,
            Self::Apply => Exif::Apply,
        }
    }
}

/// Which latents stand for a posterior.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Posterior {
    /// Its mode or a draw. A class without a posterior has one answer, which both take.
    pub take: Take,
    /// Of a draw: the noise of a picture is seeded by this number and the picture's name.
    pub seed: u64,
}

/// See [`Posterior::take`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Take {
    /// The most likely latents.
    Mode,
    /// Latents at random.
    Draw,
}

/// From a decoded sample to numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Metrics {
    /// How values become 8 bits, those that went in and those that came back alike. MS-SSIM, `mae`, and
    /// `max_abs_diff` are of these.
    pub rounding: Rounding,
    /// What PSNR is of.
    pub psnr_values: ValuesChoice,
    /// How PSNR is averaged over pictures: which of the two is called `psnr`.
    pub psnr_average: Average,
    /// Whether SSIMULACRA 2 is computed.
    pub ssimulacra2: bool,
    /// Whether Butteraugli's distance is.
    pub butteraugli: bool,
    /// SSIM.
    pub ssim: Ssim,
    /// Whether DISTS is computed of the rounded pictures, where its weights are there.
    pub dists: bool,
    /// Whether latents are turned and halved, decoded, and held against pictures turned and halved: EQ-VAE's
    /// equivariance. One and a quarter more decoded pictures for each.
    pub equivariance: bool,
    /// Whether and how the Fréchet inception distance of what came back to what went in is computed, of rounded
    /// pictures and where its weights are there.
    pub rfid: RfidChoice,
    /// Whether the kernel inception distance is, of the same features.
    pub kid: bool,
    /// Whether improved precision and recall are, of the same features: minutes for 50,000 pictures.
    pub precision_recall: bool,
    /// LPIPS.
    pub lpips: LpipsChoices,
}

/// How a value in [-1, 1] becomes 8 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    /// To the nearest, halves to even: diffusers' `numpy_to_pil`.
    HalfEven,
    /// To the nearest, halves up: `127.5 * x + 128`, cut off.
    HalfUp,
    /// Down: `(x + 1) / 2 * 255`, cut off.
    Down,
}

/// What a metric is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ValuesChoice {
    /// Values of 8 bits.
    Rounded,
    /// Floats, clamped to [-1, 1].
    Clamped,
}

/// How PSNR is averaged over pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Average {
    /// The mean of the pictures' PSNR.
    MeanOfPsnr,
    /// The PSNR of the mean squared error over all pictures.
    PsnrOfMeanMse,
}

/// SSIM as it is computed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ssim {
    /// What it is of.
    pub values: ValuesChoice,
    /// The window.
    pub window: SsimWindow,
    /// Which windows count.
    pub border: SsimBorder,
    /// How variances are estimated.
    pub covariance: Covariance,
    /// The range in its formula over the range that pixels have: 1 unless a script has it wrong.
    pub range: f64,
    /// Where its values have their zero: its term for luminance depends on it.
    pub zero: Zero,
}

/// Where values have their zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Zero {
    /// Values are in [0, 1] or [0, 255], as SSIM's authors have them.
    Black,
    /// Values are in [-1, 1], as a VAE's sample has them.
    Grey,
}

/// LPIPS as it is computed, where the weights of its networks are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LpipsChoices {
    /// What it is of.
    pub values: LpipsValues,
    /// How the features of a pixel are brought to length 1.
    pub unit_length: UnitLengthChoice,
    /// Whether AlexNet's is computed.
    pub alex: bool,
    /// Whether VGG16's is.
    pub vgg: bool,
    /// Whether SqueezeNet's is.
    pub squeeze: bool,
}

impl Metrics {
    /// The instructions of this processor that what is asked for depends on: SSIMULACRA 2 and Butteraugli alone do.
    /// `None` without them.
    pub fn instructions(&self) -> Option<String> {
        let depends = self.ssimulacra2 || self.butteraugli;
        depends.then(|| Instructions::detected().to_owned())
    }
}

/// Whose Fréchet inception distance it is: they bring pictures to 299 x 299 in two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RfidChoice {
    /// None is computed.
    None,
    /// pytorch-fid's: by torch's bilinear interpolation.
    PytorchFid,
    /// torch-fidelity's, and that of the scripts on TensorFlow: by TensorFlow's of 2015.
    TorchFidelity,
}

impl RfidChoice {
    /// As the crate for the network names it.
    pub fn input(self) -> Option<InceptionInput> {
        match self {
            Self::None => None,
            Self::PytorchFid => Some(InceptionInput::PytorchFid),
            Self::TorchFidelity => Some(InceptionInput::TorchFidelity),
        }
    }
}

impl LpipsChoices {
    /// The networks that are asked for.
    pub fn nets(&self) -> Vec<Net> {
        let is_asked = |net: &Net| match net {
            Net::Alex => self.alex,
            Net::Vgg => self.vgg,
            Net::Squeeze => self.squeeze,
        };
        Net::ALL.into_iter().filter(is_asked).collect()
    }
}

/// What LPIPS is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LpipsValues {
    /// Values of 8 bits.
    Rounded,
    /// Floats as the decoder gives them, beyond [-1, 1] too.
    Floats,
}

/// In which implementations of LPIPS differ: at pixels that hardly have features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum UnitLengthChoice {
    /// Over their length and 1e-10: the package lpips, and what was copied from it.
    Lpips,
    /// Over the root of their squares' sum and 1e-8: torchmetrics 1.9.
    Torchmetrics,
}

impl UnitLengthChoice {
    /// As the crate for LPIPS names it.
    pub fn unit_length(self) -> UnitLength {
        match self {
            Self::Lpips => UnitLength::Lpips,
            Self::Torchmetrics => UnitLength::Torchmetrics,
        }
    }
}

/// How sure a mean is: by how much it moves where pictures are drawn anew, with replacement.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Confidence {
    /// How often.
    pub resamples: usize,
    /// Of the random numbers.
    pub seed: u64,
    /// The share of the resampled means that an interval holds, such as 0.95.
    pub level: f64,
}

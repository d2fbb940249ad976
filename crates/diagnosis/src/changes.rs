//! What can have happened to a picture before it reached the encoder: the explanations that rules
//! try on the user's tensors and latents.

use ndarray::{Array3, Array4, ArrayView3, Axis};

use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::evidence::Evidence;
use super::input::EXIF_IGNORED;
use super::layout::Layout;
use super::recolouring::{self, Named, Recolouring};
use super::resampling::{RESIZE_MISMATCH, Resampling};
use super::severity::Severity;
use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::{Reading, Rgb8, resize_bicubic};

pub(super) const INPUT_NOT_NORMALISED: Cause = Cause {
    code: Code::InputNotNormalised,
    severity: Severity::Error,
    title: "the encoder was fed values that do not lie in [-1, 1]",
    meaning: "A VAE wants [-1, 1]. Fed [0, 1], it sees a pale picture with half the contrast, \
              and gives one back; fed 0 to 255, it sees nothing but white.",
    rule: "The best line y = a x + b through output against input (in [0, 1], unclipped) lies \
           near (0.5, 0.5) and explains the output; or the preprocessed tensor is an affine \
           image of the expected one; or the latents match those of such a tensor.",
    remedy: "map pixels to [-1, 1] before encoding: x / 127.5 - 1",
    diffusers: "use VaeImageProcessor.preprocess, or 2 * x - 1 on a tensor in [0, 1]; of \
                AutoencoderTiny too, though taesd.py takes [0, 1]",
    comfyui: "the VAE Encode node does it; a custom node must pass [0, 1] and not normalise \
              itself",
    ports: "x / 255 * 2 - 1, once: also check that nothing normalises twice or with ImageNet's \
            mean and standard deviation",
    sources: &["black-forest-labs/flux#402", "mlcommons/training#721"],
    decided_by: &[
        DecidedBy::Check,
        DecidedBy::Preprocessed,
        DecidedBy::Latents,
        DecidedBy::DecodedImage,
    ],
};

pub(super) const LAYOUT_SCRAMBLED: Cause = Cause {
    code: Code::LayoutScrambled,
    severity: Severity::Error,
    title: "a tensor was reshaped where its axes had to be permuted",
    meaning: "(H, W, C) read as (C, H, W), width and height exchanged, or patches of 2 x 2 taken apart in \
              another order: coloured stripes, repeated small copies, a mirrored picture, a \
              checkerboard, or noise.",
    rule: "A reinterpretation of the expected tensor (HWC as CHW, CHW as HWC, width and height \
           exchanged, patches in another order) matches yours, which does not match as it is. For latents, also the \
           latents of a picture so reinterpreted; and for decode, which has no original, what brings \
           latents and those that their picture encodes to together.",
    remedy: "permute axes, do not reshape: (H, W, C) to (C, H, W)",
    diffusers: "torch.from_numpy(x).permute(2, 0, 1), not .reshape or .view",
    comfyui: "images are (N, H, W, C): movedim(-1, 1) before a model",
    ports: "transpose, and make the copy contiguous before handing on raw memory; Wan 2.2 patches pixels \
            as (c, pw, ph), columns of a patch before its rows",
    sources: &["huggingface/diffusers#6238", "NVIDIA/flashdreams#338"],
    decided_by: &[DecidedBy::Latents, DecidedBy::Preprocessed, DecidedBy::DecodedImage],
};

pub(super) const CHANNEL_SWAP: Cause = Cause {
    code: Code::ChannelSwap,
    severity: Severity::Error,
    title: "red, green and blue are in another order",
    meaning: "OpenCV loads BGR. Swapped at one end, faces are blue; swapped at both, the \
              picture looks right and the latents are wrong.",
    rule: "Another order of the channels explains the output with at most half the error of \
           the identity; or the latents match those of a picture with its channels exchanged.",
    remedy: "convert BGR to RGB where the picture is loaded (and back where it is saved)",
    diffusers: "cv2.cvtColor(image, cv2.COLOR_BGR2RGB), or load with PIL",
    comfyui: "flip the last axis in the custom node that loads with OpenCV",
    ports: "RGB throughout; check loader and writer each on its own",
    sources: &["deforum/sd-webui-deforum#8"],
    decided_by: &[
        DecidedBy::Check,
        DecidedBy::Latents,
        DecidedBy::Preprocessed,
        DecidedBy::DecodedImage,
    ],
};

/// One thing done to the sample that should not have been, or done otherwise.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tried {
    /// What is found if it holds.
    pub cause: &'static Cause,
    /// What was done, in words.
    pub what: String,
    pub change: Change,
}

/// A change to the sample that the encoder takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Change {
    /// Channels in this order.
    Channels([usize; 3]),
    /// `scale * sample + offset`, per channel.
    Range([(f32, f32); 3]),
    /// One of the eight symmetries of a rectangle.
    Symmetry(Symmetry),
    /// Memory read in another order of axes.
    Layout(Layout),
    /// Resized in another way.
    Resized(Resampling),
    /// Made RGB in another way, then resized as the reference does.
    Read(Reading),
    /// Colours changed pixel by pixel, and clamped to what 8 bits hold.
    Recoloured(Recolouring),
}

/// A mirroring or turning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Symmetry {
    pub mirrored: bool,
    pub upside_down: bool,
    pub transposed: bool,
}

/// (x - mean) / std of ImageNet, on [0, 1].
const IMAGENET: [(f32, f32); 3] = [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)];
/// The same of CLIP.
const CLIP: [(f32, f32); 3] =
    [(0.481_454_66, 0.268_629_54), (0.457_827_5, 0.261_302_6), (0.408_210_73, 0.275_777_1)];

/// Orders of three channels other than the identity, in words.
pub(super) const CHANNEL_ORDERS: [([usize; 3], &str); 5] = [
    ([2, 1, 0], "BGR"),
    ([0, 2, 1], "RBG"),
    ([1, 0, 2], "GRB"),
    ([1, 2, 0], "GBR"),
    ([2, 0, 1], "BRG"),
];

/// The seven symmetries other than the identity, in words.
pub(super) const SYMMETRIES: [(Symmetry, &str); 7] = {
    const fn symmetry(mirrored: bool, upside_down: bool, transposed: bool) -> Symmetry {
        Symmetry { mirrored, upside_down, transposed }
    }
    [
        (symmetry(true, false, false), "mirrored"),
        (symmetry(false, true, false), "upside down, mirrored"),
        (symmetry(true, true, false), "turned by 180 degrees"),
        (symmetry(false, false, true), "with rows and columns exchanged"),
        (symmetry(true, false, true), "turned by 90 degrees"),
        (symmetry(false, true, true), "turned by 270 degrees"),
        (symmetry(true, true, true), "with rows and columns exchanged, turned by 180 degrees"),
    ]
};

/// Ranges that encoders are fed by mistake, in words.
pub(super) fn ranges() -> [(&'static str, [(f32, f32); 3]); 6] {
    let standardised =
        |statistics: [(f32, f32); 3]| statistics.map(|(mean, std)| (0.5 / std, (0.5 - mean) / std));
    [
        ("[0, 1]", [(0.5, 0.5); 3]),
        ("0 to 255", [(127.5, 127.5); 3]),
        ("normalised twice", [(2.0, -1.0); 3]),
        ("[-0.5, 0.5]", [(0.5, 0.0); 3]),
        ("ImageNet's mean and standard deviation", standardised(IMAGENET)),
        ("CLIP's mean and standard deviation", standardised(CLIP)),
    ]
}

/// Every explanation, those of a wrong layout first and those that differ least last.
pub(super) fn explanations(evidence: &Evidence) -> Vec<Tried> {
    let explain = |cause, what: String, change| Tried { cause, what, change };
    let mut list = Vec::new();
    for (order, name) in CHANNEL_ORDERS {
        list.push(explain(&CHANNEL_SWAP, format!("in {name} order"), Change::Channels(order)));
    }
    for (name, range) in ranges() {
        let what = format!("fed as {name}");
        list.push(explain(&INPUT_NOT_NORMALISED, what, Change::Range(range)));
    }
    for (layout, what) in Layout::of_pixels(evidence.vae.config()) {
        list.push(explain(&LAYOUT_SCRAMBLED, what, Change::Layout(layout)));
    }
    // Whichever fits: what has other sides is not compared.
    for (symmetry, name) in SYMMETRIES {
        let cause = symmetry.cause(evidence.orientation);
        list.push(explain(cause, symmetry.in_words(name), Change::Symmetry(symmetry)));
    }
    list.extend(resizings(evidence));
    list.extend(recolouring::known().into_iter().map(
        |Named { cause, what, recolouring, .. }| Tried {
            cause,
            what,
            change: Change::Recoloured(recolouring),
        },
    ));
    list
}

/// The explanations by resizing; none where the picture was not resized.
pub(super) fn resizings(evidence: &Evidence) -> Vec<Tried> {
    let size = |picture: &Rgb8| (picture.width(), picture.height());
    if size(evidence.source) == size(evidence.seen) {
        return Vec::new();
    }
    let explained = |(way, name): (Resampling, &str)| Tried {
        cause: &RESIZE_MISMATCH,
        what: format!("resized by {name}"),
        change: Change::Resized(way),
    };
    Resampling::ALL.into_iter().map(explained).collect()
}

impl Change {
    /// The sample (1, 3, H, W) after this change; `None` where it cannot be made.
    pub fn apply(self, evidence: &Evidence) -> Result<Option<Array4<f32>>> {
        let sample = evidence.sample.index_axis(Axis(0), 0);
        let changed = match self {
            Self::Channels(order) => sample.select(Axis(0), &beside_alpha(order, sample.dim().0)),
            Self::Range(range) => {
                let mut changed = sample.to_owned();
                // Statistics are of three colours; a range that all have is alpha's too.
                let of_alpha = if range == [range[0]; 3] { range[0] } else { (1.0, 0.0) };
                let ranges = range.into_iter().chain([of_alpha]);
                for (mut channel, (scale, offset)) in changed.outer_iter_mut().zip(ranges) {
                    channel.mapv_inplace(|value| scale * value + offset);
                }
                changed
            }
            Self::Recoloured(recolouring) => recolouring.clamped(sample),
            Self::Symmetry(symmetry) => symmetry.apply(sample),
            Self::Layout(layout) => layout.apply(sample),
            Self::Resized(way) => {
                let seen = evidence.seen;
                let resized = way.apply(evidence.source, seen.width(), seen.height())?;
                return unless_seen(evidence, resized);
            }
            Self::Read(reading) => {
                let Some(dropped) = evidence.dropped else { return Ok(None) };
                let read = reading.apply(evidence.source, dropped)?;
                let (width, height) = (evidence.seen.width(), evidence.seen.height());
                let resized = read.map(|read| resize_bicubic(&read, width, height)).transpose()?;
                return unless_seen(evidence, resized);
            }
        };
        Ok(Some(changed.insert_axis(Axis(0))))
    }
}

/// What the encoder is fed of `picture`; `None` where that is what it saw.
fn unless_seen(evidence: &Evidence, picture: Option<Rgb8>) -> Result<Option<Array4<f32>>> {
    let other = picture.filter(|picture| picture != evidence.seen);
    other.map(|picture| evidence.sample_of(&picture)).transpose()
}

/// `order` of the three colours among `channels`, of which a fourth, alpha, stays where it is.
pub(super) fn beside_alpha(order: [usize; 3], channels: usize) -> Vec<usize> {
    order.into_iter().chain(3..channels).collect()
}

impl Symmetry {
    /// What brings back what this turned.
    pub fn undone(self) -> Self {
        match self.transposed {
            false => self,
            true => Self { mirrored: self.upside_down, upside_down: self.mirrored, ..self },
        }
    }

    /// What this EXIF orientation (2 to 8) asks for.
    pub fn of_orientation(orientation: u16) -> Option<Self> {
        // In the order of SYMMETRIES: 2, 4, 3, 5, 6, 8, 7.
        let at = match orientation {
            2 => 0,
            3 => 2,
            4 => 1,
            5 => 3,
            6 => 4,
            7 => 6,
            8 => 5,
            _ => return None,
        };
        Some(SYMMETRIES[at].0)
    }

    /// The cause: what the file's own orientation asks for and what cameras do, or axes exchanged.
    pub fn cause(self, orientation: Option<u16>) -> &'static Cause {
        let asked_for = orientation.and_then(Self::of_orientation) == Some(self);
        let of_axes = self.transposed && !(self.mirrored ^ self.upside_down);
        if of_axes && !asked_for { &LAYOUT_SCRAMBLED } else { &EXIF_IGNORED }
    }

    /// `name`, with what else does it than an orientation.
    pub fn in_words(self, name: &str) -> String {
        let flipped = Self { mirrored: true, upside_down: false, transposed: false };
        match self == flipped {
            true => format!("{name}: its orientation, or a random flip was cached"),
            false => name.to_owned(),
        }
    }

    /// (C, H, W), or (C, W, H) where rows and columns are exchanged.
    pub fn apply(self, sample: ArrayView3<f32>) -> Array3<f32> {
        let mut turned = sample;
        if self.transposed {
            turned.swap_axes(1, 2);
        }
        if self.mirrored {
            turned.invert_axis(Axis(2));
        }
        if self.upside_down {
            turned.invert_axis(Axis(1));
        }
        turned.as_standard_layout().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_turned_can_be_undone() {
        let sample = Array3::from_shape_fn((4, 6, 10), |(c, y, x)| (c * 60 + y * 10 + x) as f32);
        for (symmetry, name) in SYMMETRIES {
            let turned = symmetry.apply(sample.view());
            assert_eq!(symmetry.undone().apply(turned.view()), sample, "{name}");
        }
    }
}

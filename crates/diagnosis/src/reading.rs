//! Ways in which other programs make RGB of a file: with what Pillow's `convert("RGB")` drops.

use super::changes::{Change, Tried};
use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::severity::Severity;
use vae_fidelity_pixels::Reading;

pub(super) const ALPHA_MISMATCH: Cause = Cause {
    code: Code::AlphaMismatch,
    severity: Severity::Warning,
    title: "transparent pixels were treated otherwise",
    meaning: "Dropping alpha shows the colours that lie under transparent pixels, often black or leftovers \
              of what was cut out; compositing replaces them by a background. The VAE then sees two \
              different pictures.",
    rule: "The file has pixels that are not opaque, and your file is made of the picture composited on \
           white, black or middle grey.",
    remedy: "composite on one background on both sides before the VAE, or drop alpha on both",
    diffusers: "load_image and VaeImageProcessor drop alpha: composite beforehand (Image.alpha_composite)",
    comfyui: "Load Image drops alpha, and gives it as a mask; nodes that take RGBA differ",
    ports: "convert(\"RGB\") drops alpha; stb_image with 3 channels does too, canvases composite",
    sources: &["mflux-community/mflux#722"],
    decided_by: &FILES,
};

pub(super) const BIT_DEPTH_MISMATCH: Cause = Cause {
    code: Code::BitDepthMismatch,
    severity: Severity::Warning,
    title: "grey of 16 bits was scaled, not clipped",
    meaning: "Pillow's convert(\"RGB\") clips grey of 16 bits at 255, which leaves most pictures all but \
              white; others divide by 257 and see the picture.",
    rule: "The file is grey of more than 8 bits, with values above 255, and your file is made of the \
           picture divided by 257.",
    remedy: "convert the file to 8 bits beforehand, so that both sides see the same picture",
    diffusers: "load_image clips: open the file with numpy, divide by 257, and pass 8 bits",
    comfyui: "convert to 8 bits before Load Image",
    ports: "OpenCV scales 16 bits to 8 by itself, unless IMREAD_ANYDEPTH keeps them",
    sources: &["python-pillow/Pillow#3011"],
    decided_by: &FILES,
};

pub(super) const COLOUR_PROFILE_MISMATCH: Cause = Cause {
    code: Code::ColourProfileMismatch,
    severity: Severity::Warning,
    title: "the file's colour profile was applied",
    meaning: "A file in Display P3 or Adobe RGB holds other numbers than sRGB has for the same colours. \
              Pillow, and diffusers with it, use the numbers as they are; browsers, phones and editors \
              convert them, and saturated colours move.",
    rule: "The file has an ICC profile of RGB, and your file is made of the picture converted from it to \
           sRGB.",
    remedy: "convert pictures to sRGB beforehand, on both sides, or on neither",
    diffusers: "nothing is converted: ImageCms.profileToProfile beforehand",
    comfyui: "nothing is converted: save as sRGB before loading",
    ports: "decoders of browsers and phones convert; ask for the pixels as they are stored",
    sources: &["kohya-ss/sd-scripts#2179", "Comfy-Org/ComfyUI#11241"],
    decided_by: &FILES,
};

const FILES: [DecidedBy; 3] =
    [DecidedBy::Preprocessed, DecidedBy::Latents, DecidedBy::DecodedImage];

/// The explanations by another reading of the file. Where it hides nothing, none of them can be applied.
pub(super) fn readings() -> Vec<Tried> {
    let explained = |reading: Reading| {
        let (cause, what) = match reading {
            Reading::OnWhite => (&ALPHA_MISMATCH, "composited on white, where alpha is dropped"),
            Reading::OnBlack => (&ALPHA_MISMATCH, "composited on black, where alpha is dropped"),
            Reading::OnGrey => (&ALPHA_MISMATCH, "composited on grey, where alpha is dropped"),
            Reading::SixteenBitsScaled => {
                (&BIT_DEPTH_MISMATCH, "with its 16 bits scaled to 8, where they are clipped")
            }
            Reading::ToSrgb => {
                (&COLOUR_PROFILE_MISMATCH, "converted from its colour profile to sRGB")
            }
        };
        Tried { cause, what: what.to_owned(), change: Change::Read(reading) }
    };
    Reading::ALL.into_iter().map(explained).collect()
}

//! Changes to the colours of a picture, pixel by pixel: lines, curves and matrices. They happen before
//! the encoder, and after the decoder.

use ndarray::{Array3, ArrayView3};

use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::severity::Severity;

/// Red, green and blue in [0, 1].
pub(super) type Rgb = [f64; 3];

pub(super) const LEVELS_CHANGED: Cause = Cause {
    code: Code::LevelsChanged,
    severity: Severity::Error,
    title: "levels were stretched, compressed or moved: video range, contrast, brightness",
    meaning: "A step beside the VAE maps levels by a line. Video range (16 to 235) that is written \
              or read as full range makes a picture flat, or burns out its ends; pipelines also \
              change contrast and brightness themselves. It looks like a wrong scaling factor, \
              and is none.",
    rule: "The line y = a x + b through your picture against the reference's (for all channels, \
           or each) explains the difference better than every other cause, other factors among \
           them; or the latents match those of a picture so changed. Known pairs are named.",
    remedy: "leave the step out, or undo it on the other side: y = (x - b) / a",
    diffusers: "VaeImageProcessor changes nothing; look at what follows postprocess",
    comfyui: "look for colour nodes, and at the colour range of video nodes (full, or 16 to 235)",
    ports: "full range is x, video range is 16 + x * 219 / 255: convert once, at the file",
    sources: &[
        "Kosinkadink/ComfyUI-VideoHelperSuite#591",
        "Kosinkadink/ComfyUI-VideoHelperSuite#529",
    ],
    decided_by: &[DecidedBy::Preprocessed, DecidedBy::Latents, DecidedBy::DecodedImage],
};

pub(super) const GAMMA_MISMATCH: Cause = Cause {
    code: Code::GammaMismatch,
    severity: Severity::Error,
    title: "linear light and sRGB's curve were mixed up",
    meaning: "A VAE is trained on sRGB's levels. Without the curve a picture is far too dark, with \
              the curve applied twice far too light.",
    rule: "sRGB's curve, its inverse, or a power of the levels explains the difference better than \
           every other cause.",
    remedy: "apply sRGB's curve exactly once between linear light and the VAE, and between the VAE \
             and a file of 8 bits",
    diffusers: "pictures are sRGB throughout; convert linear EXR or float pictures beforehand",
    comfyui: "nodes that load or save EXR convert between linear and sRGB: once, not twice or never",
    ports: "x <= 0.0031308 ? 12.92 x : 1.055 x^(1 / 2.4) - 0.055",
    sources: &["spacepxl/ComfyUI-HQ-Image-Save#6", "spacepxl/ComfyUI-HQ-Image-Save#21"],
    decided_by: &[DecidedBy::Preprocessed, DecidedBy::Latents, DecidedBy::DecodedImage],
};

pub(super) const COLOUR_MATRIX: Cause = Cause {
    code: Code::ColourMatrix,
    severity: Severity::Error,
    title: "colours were mixed by a matrix: BT.601 read as BT.709, saturation, hue",
    meaning: "Greys stay and colours move. A video that is written with one matrix and read with \
              the other shifts reds and greens; pipelines also change saturation or hue.",
    rule: "A 3 x 3 matrix that moves black and white by no more than 5 levels, and is no order of \
           channels, explains the difference better than every other cause. BT.601 and BT.709, and \
           saturation, are named.",
    remedy: "read with the matrix that the picture was written with, and leave saturation and hue \
             alone",
    diffusers: "it converts nothing: look at what reads or writes the video",
    comfyui: "tag the video's colour space (ffmpeg -colorspace bt709 with a matching conversion)",
    ports: "small pictures are BT.601 by default and large ones BT.709: say which, do not guess",
    sources: &["AUTOMATIC1111/stable-diffusion-webui#2754"],
    decided_by: &[DecidedBy::Preprocessed, DecidedBy::Latents, DecidedBy::DecodedImage],
};

/// Whether a cause is a change of colours. Compression takes colours from fine detail, which looks like
/// one: where a file looks compressed, that is blamed only without doubt.
pub(super) fn is_of_colours(code: Code) -> bool {
    matches!(
        code,
        Code::LevelsChanged | Code::GammaMismatch | Code::ColourMatrix | Code::ColourMatched
    )
}

/// How far a matrix between spaces of colour may move black and white: 5 levels, which rounding and clamped
/// colours leave of a fit.
const GREYS_MOVE: f64 = 0.02;
/// A matrix of nothing but zeros and ones, this nearly, is an order of channels.
const ORDER: f64 = 0.05;

/// Luma of BT.601 and BT.709.
pub(super) const BT601: Rgb = [0.299, 0.587, 0.114];
pub(super) const BT709: Rgb = [0.2126, 0.7152, 0.0722];

type Matrix = [[f64; 3]; 3];

/// A map of one pixel's colours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Recolouring {
    /// `matrix * rgb + offset`.
    Affine(Matrix, Rgb),
    /// sRGB's curve: linear light to levels.
    ToSrgb,
    /// Its inverse.
    ToLinear,
    /// Each level to this power.
    Power(f64),
}

/// A recolouring, what it is called, and what it would be the cause of.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Named {
    pub cause: &'static Cause,
    pub what: String,
    pub recolouring: Recolouring,
    /// How many of its numbers were fitted.
    pub free: usize,
}

impl Recolouring {
    /// `slope * x + offset`, for all channels.
    pub fn line(slope: f64, offset: f64) -> Self {
        Self::lines([(slope, offset); 3])
    }

    /// The same for each channel.
    pub fn lines(lines: [(f64, f64); 3]) -> Self {
        let mut matrix = [[0.0; 3]; 3];
        for (channel, (slope, _)) in lines.into_iter().enumerate() {
            matrix[channel][channel] = slope;
        }
        Self::Affine(matrix, lines.map(|(_, offset)| offset))
    }

    /// `grey + saturation * (x - grey)`.
    pub fn saturation(luma: Rgb, saturation: f64) -> Self {
        let mut matrix = [luma.map(|weight| (1.0 - saturation) * weight); 3];
        (0..3).for_each(|channel| matrix[channel][channel] += saturation);
        Self::Affine(matrix, [0.0; 3])
    }

    /// A sample (3, H, W) in [-1, 1] so changed, clamped to that range.
    pub fn clamped(self, sample: ArrayView3<f32>) -> Array3<f32> {
        let mut changed = sample.to_owned();
        let (_, height, width) = sample.dim();
        for y in 0..height {
            for x in 0..width {
                let unit = |c: usize| f64::from(sample[[c, y, x]]) / 2.0 + 0.5;
                let pixel = self.of([unit(0), unit(1), unit(2)]);
                for (c, value) in pixel.into_iter().enumerate() {
                    changed[[c, y, x]] = (2.0 * value.clamp(0.0, 1.0) - 1.0) as f32;
                }
            }
        }
        changed
    }

    /// Whether greys stay and colours move, as with every matrix between spaces of colour, and other than
    /// where channels are exchanged.
    pub fn keeps_greys(&self) -> bool {
        let Self::Affine(matrix, offset) = self else { return false };
        let stays = |c: usize| {
            let [black, white] = [offset[c], offset[c] + matrix[c].iter().sum::<f64>()];
            black.abs() <= GREYS_MOVE && (white - 1.0).abs() <= GREYS_MOVE
        };
        let is_order = matrix.iter().flatten().all(|x| x.abs().min((x - 1.0).abs()) <= ORDER);
        (0..3).all(stays) && !is_order
    }

    /// Whether both do nearly the same to every colour: within a fiftieth of what they do.
    pub fn is_near(self, other: Self) -> bool {
        let corners = (0..8).map(|i| [i & 1, i >> 1 & 1, i >> 2].map(f64::from));
        corners.chain([[0.5; 3]]).all(|corner| {
            let (a, b) = (self.of(corner), other.of(corner));
            a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 0.02 * b.abs().max(1.0))
        })
    }

    /// Whether it is [-1, 1] and [0, 1] taken for each other.
    pub fn is_a_range(self) -> bool {
        [(0.5, 0.5), (2.0, -1.0)]
            .into_iter()
            .any(|(slope, offset)| self.is_near(Self::line(slope, offset)))
    }

    /// One pixel, unclamped; powers take what is below 0 for 0.
    pub fn of(self, pixel: Rgb) -> Rgb {
        match self {
            Self::Affine(matrix, offset) => {
                std::array::from_fn(|c| offset[c] + dot(matrix[c], pixel))
            }
            Self::ToSrgb => pixel.map(|x| match x {
                x if x <= 0.003_130_8 => 12.92 * x,
                x => 1.055 * x.powf(1.0 / 2.4) - 0.055,
            }),
            Self::ToLinear => pixel.map(|x| match x {
                x if x <= 0.040_45 => x / 12.92,
                x => ((x + 0.055) / 1.055).powf(2.4),
            }),
            Self::Power(power) => pixel.map(|x| x.max(0.0).powf(power)),
        }
    }
}

fn dot(a: Rgb, b: Rgb) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// Lines that pipelines are known to apply, in words.
fn known_lines() -> [(&'static str, f64, f64); 4] {
    let (slope, offset) = (219.0 / 255.0, 16.0 / 255.0);
    [
        ("full range written as video range (16 to 235)", slope, offset),
        ("video range (16 to 235) expanded that was full range", 1.0 / slope, -offset / slope),
        ("twice converted to video range (16 to 235)", slope * slope, offset * (1.0 + slope)),
        (
            "twice expanded from video range (16 to 235)",
            1.0 / (slope * slope),
            -(offset / slope) * (1.0 + 1.0 / slope),
        ),
    ]
}

/// Recolourings without a fitted number.
pub(super) fn known() -> Vec<Named> {
    let named = |cause, what: &str, recolouring| Named {
        cause,
        what: what.to_owned(),
        recolouring,
        free: 0,
    };
    let mut list: Vec<Named> = known_lines()
        .into_iter()
        .map(|(what, slope, offset)| {
            let what = format!("{}: {what}", in_words(slope, offset));
            named(&LEVELS_CHANGED, &what, Recolouring::line(slope, offset))
        })
        .collect();
    list.push(named(
        &GAMMA_MISMATCH,
        "in linear light: sRGB's curve was left out",
        Recolouring::ToLinear,
    ));
    list.push(named(
        &GAMMA_MISMATCH,
        "with sRGB's curve applied once too often",
        Recolouring::ToSrgb,
    ));
    for (from, to, what) in [
        (BT601, BT709, "written with BT.601's matrix and read with BT.709's"),
        (BT709, BT601, "written with BT.709's matrix and read with BT.601's"),
    ] {
        list.push(named(&COLOUR_MATRIX, what, Recolouring::Affine(reread(from, to), [0.0; 3])));
    }
    list
}

/// The matrix from RGB to RGB of a picture that is written with one luma and read with another.
fn reread(written: Rgb, read: Rgb) -> Matrix {
    let through = |pixel: Rgb| -> Rgb {
        let luma = dot(written, pixel);
        let (cb, cr) = (
            (pixel[2] - luma) / (2.0 - 2.0 * written[2]),
            (pixel[0] - luma) / (2.0 - 2.0 * written[0]),
        );
        let (red, blue) = (luma + (2.0 - 2.0 * read[0]) * cr, luma + (2.0 - 2.0 * read[2]) * cb);
        [red, (luma - read[0] * red - read[2] * blue) / read[1], blue]
    };
    let columns = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]].map(through);
    std::array::from_fn(|row| std::array::from_fn(|column| columns[column][row]))
}

/// What [`Recolouring::saturation`] does, in words.
pub(super) fn saturation_in_words(saturation: f64) -> String {
    match saturation {
        by if by.abs() < 0.005 => "without colour: saturation times 0.00".to_owned(),
        by if by < 0.0 => {
            format!("with the complement of each colour: saturation times {by:.2}")
        }
        by if by > 1.0 => format!("with more saturation: times {by:.2}"),
        by => format!("with less saturation: times {by:.2}"),
    }
}

/// A line in words, levels of 255.
pub(super) fn in_words(slope: f64, offset: f64) -> String {
    let levels = 255.0 * offset;
    let sign = if levels < 0.0 { "minus" } else { "plus" };
    format!("times {slope:.3} {sign} {:.1} levels", levels.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_of_video_keep_greys_and_undo_each_other() {
        let there = Recolouring::Affine(reread(BT601, BT709), [0.0; 3]);
        let back = Recolouring::Affine(reread(BT709, BT601), [0.0; 3]);
        let near = |a: Rgb, b: Rgb| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(near(there.of([0.3; 3]), [0.3; 3]));
        let colour = [0.8, 0.1, 0.4];
        assert!(near(back.of(there.of(colour)), colour) && !near(there.of(colour), colour));
        // Pure red is Y 0.299, Cb -0.169, Cr 0.5; with BT.709's matrix that is (1.086, 0.096, -0.014).
        let red = there.of([1.0, 0.0, 0.0]);
        assert!(
            red.iter().zip([1.0864, 0.0965, -0.0141]).all(|(a, b)| (a - b).abs() < 1e-3),
            "{red:?}"
        );
    }
}

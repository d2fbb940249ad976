//! From a decoded tensor to 8 bits: the ways in which that goes wrong.

use ndarray::{Array4, s};

use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::evidence::{Evidence, UserPicture, colours};
use super::finding::Finding;
use super::fit::psnr;
use super::jpeg::coded_as;
use super::legitimate::Distance;
use super::round_trip::OUTPUT_NOT_DENORMALISED;
use super::severity::Severity;
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::{JpegCoding, Rgb8};

pub(super) const U8_WRAPAROUND: Cause = Cause {
    code: Code::U8Wraparound,
    severity: Severity::Error,
    title: "values outside [0, 1] were cast to 8 bits without clamping",
    meaning: "256 becomes 0 and -1 becomes 255: specks in the whites and blacks.",
    rule: "Where your picture and the reference's differ by more than 200 levels, at least \
           90 % of those places are ones where the reference was clamped, and wrapping its \
           values round matches yours.",
    remedy: "clamp to [0, 1] before the cast to 8 bits",
    diffusers: "(y / 2 + 0.5).clamp(0, 1) before .numpy(), as VaeImageProcessor does",
    comfyui: "np.clip(image, 0, 255) before astype(np.uint8), as SaveImage does",
    ports: "clamp, then cast; saturating casts hide it in one language and not in another",
    sources: &["Nerogar/OneTrainer#440"],
    decided_by: &[DecidedBy::DecodedImage],
};

pub(super) const U8_TRUNCATED: Cause = Cause {
    code: Code::U8Truncated,
    severity: Severity::Warning,
    title: "levels were cut off, not rounded",
    meaning: "A cast to 8 bits that drops the fraction darkens the picture by half a level, \
              every time it is made.",
    rule: "Your picture minus the reference's is 0 or -1 everywhere and -1 for about half of \
           the values (30 to 70 %); truncating the reference's values gives yours.",
    remedy: "round before the cast to 8 bits",
    diffusers: "(images * 255).round().astype('uint8'), as numpy_to_pil does; torchvision's \
                save_image and ToPILImage differ in this",
    comfyui: "SaveImage truncates by design; compare tensors instead of its files",
    ports: "round half to even, then cast, to agree with numpy",
    sources: &["pytorch/vision#8141"],
    decided_by: &[DecidedBy::DecodedImage],
};

pub(super) const BANDING: Cause = Cause {
    code: Code::Banding,
    severity: Severity::Warning,
    title: "smooth areas have lost levels",
    meaning: "The range was converted in bf16 (8 bits of precision): the bright half of the \
              picture has steps of 2 or more levels.",
    rule: "Your picture has at most 0.7 times the distinct levels of the reference's, where \
           that has at least 64, and rounding the decoded tensor or its picture to bf16 \
           matches it better. Of a JPEG: the reference's with 3 to 65 levels a channel, saved \
           likewise, matches it better by 6 dB.",
    remedy: "convert to f32 before denormalising",
    diffusers: "image.float() before postprocess",
    comfyui: "update: the conversion is done in f32 since; or start with --fp32-vae",
    ports: "cast the decoded tensor to f32 first, then halve, move, clamp and round",
    sources: &["comfyanonymous/ComfyUI#1663"],
    decided_by: &[DecidedBy::DecodedImage],
};

/// A way to make levels of decoded values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Conversion {
    /// Cut off, not rounded.
    Truncated,
    /// Rounded and wrapped round at 256.
    Wrapped,
    /// Cut off and wrapped round at 256.
    TruncatedAndWrapped,
    /// All steps in bf16.
    Bf16,
    /// All steps in bf16, then cut off.
    Bf16Truncated,
    /// [-1, 1] taken for [0, 1].
    NotDenormalised,
    /// Halved and moved twice.
    DenormalisedTwice,
    /// The same, clamped in between, as `VaeImageProcessor.denormalize` does.
    PostprocessedTwice,
    /// Rounded to this many steps from black to white.
    Posterised(u8),
}

impl Conversion {
    /// Those that change the picture as a whole, with cause and words.
    pub const RANGES: [(Self, &'static Cause, &'static str); 3] = [
        (Self::NotDenormalised, &OUTPUT_NOT_DENORMALISED, "with [-1, 1] taken for [0, 1]"),
        (Self::DenormalisedTwice, &OUTPUT_NOT_DENORMALISED, "with its range converted twice"),
        (
            Self::PostprocessedTwice,
            &OUTPUT_NOT_DENORMALISED,
            "with its range converted twice, clamped in between",
        ),
    ];

    /// The picture that the colours of `decoded` (1, 3, H, W), or in RGBA (1, 4, H, W), become.
    pub fn apply(self, decoded: &Array4<f32>) -> Result<Rgb8> {
        let decoded = colours(decoded);
        let (_, channels, height, width) = decoded.dim();
        let mut data = Vec::with_capacity(channels * height * width);
        for y in 0..height {
            for x in 0..width {
                data.extend((0..channels).map(|c| self.level(decoded[[0, c, y, x]])));
            }
        }
        Rgb8::new(width, height, data)
    }

    fn level(self, value: f32) -> u8 {
        let unit = value / 2.0 + 0.5;
        let rounded = |unit: f32| (unit.clamp(0.0, 1.0) * 255.0).round_ties_even() as u8;
        let bf16 = |value| Dtype::Bf16.round(value);
        let in_bf16 = || {
            let unit = bf16(bf16(bf16(value) / 2.0) + 0.5).clamp(0.0, 1.0);
            bf16(unit * 255.0)
        };
        match self {
            Self::Truncated => (unit.clamp(0.0, 1.0) * 255.0) as u8,
            // Through i64, whose lowest 8 bits are what a cast in C keeps.
            Self::Wrapped => (unit * 255.0).round_ties_even() as i64 as u8,
            Self::TruncatedAndWrapped => (unit * 255.0) as i64 as u8,
            Self::Bf16 => in_bf16().round_ties_even() as u8,
            Self::Bf16Truncated => in_bf16() as u8,
            Self::NotDenormalised => rounded(value),
            Self::DenormalisedTwice => rounded(unit / 2.0 + 0.5),
            Self::PostprocessedTwice => rounded(unit.clamp(0.0, 1.0) / 2.0 + 0.5),
            Self::Posterised(steps) => {
                let steps = f32::from(steps);
                rounded((unit.clamp(0.0, 1.0) * steps).round_ties_even() / steps)
            }
        }
    }
}

/// A level further away than this is no rounding, and no JPEG.
const JUMP: u8 = 200;
/// RMS in levels, but for jumps, beyond which it is another picture (18 dB).
const ELSEWHERE: f64 = 32.0;
/// A match that leaves little doubt.
const SAME_DB: f64 = 40.0;
const FEW: usize = 64;
const COLLAPSED: f64 = 0.7;

/// `u8-wraparound`, `u8-truncated` or `banding`, where converting the tensor so, and saving it as theirs was,
/// gives the picture that it became there. `ours` is the reference's, saved as theirs was.
pub(super) fn exact(
    evidence: &Evidence,
    decoded: &Array4<f32>,
    ours: &Rgb8,
    picture: &UserPicture,
) -> Result<Option<Finding>> {
    for rule in [wrapped, truncated, in_bf16] {
        if let Some(finding) = evidence.known(rule(decoded, ours, picture)?) {
            return Ok(Some(finding));
        }
    }
    Ok(None)
}

/// What `conversion` makes of `decoded`, saved as theirs was.
fn saved(conversion: Conversion, decoded: &Array4<f32>, theirs: &UserPicture) -> Result<Rgb8> {
    let converted = conversion.apply(decoded)?;
    match &theirs.jpeg {
        Some(coding) => coded_as(&converted, coding),
        None => Ok(converted),
    }
}

fn wrapped(decoded: &Array4<f32>, ours: &Rgb8, picture: &UserPicture) -> Result<Option<Finding>> {
    let theirs = &picture.pixels;
    let jumps = |candidate: &Rgb8| {
        let pairs = candidate.data().iter().zip(theirs.data());
        pairs.filter(|(a, b)| a.abs_diff(**b) > JUMP).count()
    };
    let before = jumps(ours);
    let at_the_ends = ours
        .data()
        .iter()
        .zip(theirs.data())
        .filter(|(a, b)| a.abs_diff(**b) > JUMP && (**a <= 2 || **a >= 253))
        .count();
    let (mut squares, mut elsewhere) = (0.0, 0.0);
    for (a, b) in ours.data().iter().zip(theirs.data()).filter(|(a, b)| a.abs_diff(**b) <= JUMP) {
        squares += f64::from(a.abs_diff(*b)).powi(2);
        elsewhere += 1.0;
    }
    // A handful may be chance; most of them have to lie where the reference is black or white, and everything else
    // where the reference has it: a dark picture beside a white one jumps as well.
    let is_another = squares > ELSEWHERE * ELSEWHERE * elsewhere;
    if before < 4 || at_the_ends * 10 < before * 9 || is_another {
        return Ok(None);
    }
    let mut after = before;
    for conversion in [Conversion::Wrapped, Conversion::TruncatedAndWrapped] {
        after = after.min(jumps(&saved(conversion, decoded, picture)?));
    }
    Ok((after * 2 <= before).then(|| {
        let title = format!("{before} levels are at the other end of the range: 256 became 0");
        Finding::new(&U8_WRAPAROUND, title)
            .evidence("jumps_over_200", before)
            .evidence("jumps_at_black_or_white", at_the_ends)
            .evidence("jumps_left_when_wrapped", after)
    }))
}

fn truncated(decoded: &Array4<f32>, ours: &Rgb8, picture: &UserPicture) -> Result<Option<Finding>> {
    let theirs = &picture.pixels;
    let values = ours.data().len() as f64;
    let differences = || {
        let pairs = ours.data().iter().zip(theirs.data());
        pairs.map(|(a, b)| i32::from(*b) - i32::from(*a))
    };
    let mean = differences().map(f64::from).sum::<f64>() / values;
    let outside = differences().filter(|d| !(-1..=0).contains(d)).count() as f64 / values;
    // Where black and white are clamped, both ways agree.
    let unclamped = ours.data().iter().filter(|level| (1..255).contains(*level)).count() as f64;
    let expected = -0.5 * unclamped / values;
    // A JPEG keeps the mean of what it was made of, and not each level.
    let scattered = picture.jpeg.is_none() && outside > 0.05;
    let close = (mean - expected).abs() <= 0.2 * expected.abs() && !scattered;
    if unclamped <= 0.2 * values || !close {
        return Ok(None);
    }
    let after = |conversion| Ok(psnr(&saved(conversion, decoded, picture)?, theirs));
    let exactly: f64 = after(Conversion::Truncated)?;
    let nearer = exactly > psnr(ours, theirs) + 3.0 && exactly >= after(Conversion::Bf16Truncated)?;
    Ok(nearer.then(|| {
        Finding::new(&U8_TRUNCATED, "levels were cut off, not rounded: half of them are 1 too low")
            .evidence("mean_difference", mean)
            .evidence("share_outside_0_and_minus_1", outside)
    }))
}

fn in_bf16(decoded: &Array4<f32>, ours: &Rgb8, picture: &UserPicture) -> Result<Option<Finding>> {
    let before = psnr(ours, &picture.pixels);
    for conversion in [Conversion::Bf16, Conversion::Bf16Truncated] {
        if psnr(&saved(conversion, decoded, picture)?, &picture.pixels) > before + 6.0 {
            let title = "the range was converted in bf16, which has 8 bits of precision".to_owned();
            return Ok(Some(banding(title, (levels(ours), levels(&picture.pixels)), true)));
        }
    }
    Ok(None)
}

/// The same behind a JPEG, which fills the missing levels in. Told by a part of the picture.
fn posterised(
    decoded: &Array4<f32>,
    ours: &Rgb8,
    theirs: &Rgb8,
    coding: &JpegCoding,
) -> Result<Option<Finding>> {
    let ([left, top], [width, height]) = middle(theirs);
    let of = |picture: &Rgb8| {
        let rows = picture.data().chunks_exact(3 * picture.width()).skip(top).take(height);
        let data = rows.flat_map(|row| &row[3 * left..3 * (left + width)]).copied().collect();
        Rgb8::new(width, height, data)
    };
    let part = decoded.slice(s![.., .., top..top + height, left..left + width]).to_owned();
    let theirs = of(theirs)?;
    let before = psnr(&coded_as(&of(ours)?, coding)?, &theirs);
    let mut nearest = None;
    for steps in 2..=64 {
        let candidate = Conversion::Posterised(steps).apply(&part)?;
        let after = psnr(&coded_as(&candidate, coding)?, &theirs);
        if nearest.is_none_or(|(most, _)| after > most) {
            nearest = Some((after, usize::from(steps) + 1));
        }
    }
    let is_all = |after: f64| after >= SAME_DB && after > before + 6.0;
    Ok(nearest.filter(|(after, _)| is_all(*after)).map(|(_, found)| {
        let title = format!("{found} levels a channel before it was saved as JPEG");
        banding(title, (levels(ours), found), false)
    }))
}

/// Left and top, and the sides, of the middle of a large picture, which begins where blocks of a JPEG do.
fn middle(picture: &Rgb8) -> ([usize; 2], [usize; 2]) {
    const SIDE: usize = 256;
    let lengths = [picture.width(), picture.height()];
    let from = lengths.map(|length| length.saturating_sub(SIDE) / 2 / 16 * 16);
    (from, [0, 1].map(|i| SIDE.min(lengths[i] - from[i])))
}

/// `banding`, where levels are missing and no cause explains it: whatever compresses the range does
/// that as well.
pub(super) fn lost_levels(
    decoded: &Array4<f32>,
    ours: &Rgb8,
    picture: &UserPicture,
) -> Result<Option<Finding>> {
    if let Some(coding) = &picture.jpeg {
        return posterised(decoded, ours, &picture.pixels, coding);
    }
    let theirs = &picture.pixels;
    let (expected, found) = (levels(ours), levels(theirs));
    // Rounding to levels this far apart leaves 0.3 of a step; another picture leaves more.
    let collapsed = Distance::between(ours, theirs).rms <= 0.6 * 255.0 / found.max(1) as f64
        && expected >= FEW
        && (found as f64) <= COLLAPSED * expected as f64;
    let title = format!("{found} levels a channel, where the reference has {expected}");
    Ok(collapsed.then(|| banding(title, (expected, found), false)))
}

fn banding(title: String, (expected, found): (usize, usize), converted: bool) -> Finding {
    Finding::new(&BANDING, title)
        .evidence("levels_found", found)
        .evidence("levels_expected", expected)
        .evidence("converted_in_bf16", converted)
}

/// Distinct levels, of a channel on average.
fn levels(picture: &Rgb8) -> usize {
    let mut seen = [[false; 256]; 3];
    for pixel in picture.data().chunks_exact(3) {
        (0..3).for_each(|c| seen[c][usize::from(pixel[c])] = true);
    }
    seen.iter().flatten().filter(|seen| **seen).count() / 3
}

//! The tensor that the user's code fed to the encoder, beside the one that it should have fed.

use ndarray::{Array4, ArrayD, ArrayView4, Axis, s};

use super::changes::{
    Change, INPUT_NOT_NORMALISED, SYMMETRIES, Symmetry, Tried, explanations, ranges, resizings,
};
use super::codes::{Cause, Code};
use super::colour_fit::{fitted, rms};
use super::compared::{Difference, Judged};
use super::competition::{Competition, Explanation, Outcome};
use super::decided_by::DecidedBy;
use super::evidence::{Evidence, colours, with_batch};
use super::filtered::blur;
use super::finding::Finding;
use super::fit::{Line, rms_difference};
use super::legitimate::{Compressed, Distance, QUALITY};
use super::non_finite::NON_FINITE_OUTPUT;
use super::reading::readings;
use super::recolouring::{Named, Recolouring, Rgb, is_of_colours};
use super::region::Region;
use super::resampling::RESIZE_MISMATCH;
use super::severity::Severity;
use super::sizes::other_size;
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::image_processor::denormalize;
use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::Rgb8;

pub(super) const PREPROCESSED_DIFFERS: Cause = Cause {
    code: Code::PreprocessedDiffers,
    severity: Severity::Error,
    title: "the tensor you fed is not this picture, and no rule says why",
    meaning: "It was made from another file, or by a step that has no rule here.",
    rule: "Shapes agree, yours is further from the expected tensor than JPEG or WebP at quality 75 \
           would bring it, and neither a range, a change of colours, an order of channels or axes, a \
           symmetry nor a way of resizing brings one to the other.",
    remedy: "check that both sides open the same file, and save the tensor right before encode",
    diffusers: "save what VaeImageProcessor.preprocess returns",
    comfyui: "save the image that goes into VAE Encode, times 2, minus 1",
    ports: "save the encoder's argument itself",
    sources: &[],
    decided_by: &[DecidedBy::Preprocessed],
};

/// RMS that rounding to bf16 leaves in [-1, 1], with room.
const ROUNDING: f64 = 0.004;
/// RMS below which one explanation is as good as another.
const FLOOR: f64 = 0.001;
/// The same where the tensor was made from levels of 8 bits, after something was done to those: what rounding
/// to a level leaves (a level over the root of 12), with a little room.
const FLOOR_OF_LEVELS: f64 = 0.0024;
/// RMS that a person sees: 35 dB.
const ALTERED: f64 = 0.0356;
/// Levels of a tensor, each in [-1, 1] 1 / 127.5 apart.
const LEVEL: f64 = 1.0 / 127.5;

/// What is wrong with the preprocessed tensor, if anything, and how far off it is.
pub(super) fn judged(evidence: &Evidence, tensor: &ArrayD<f32>) -> Result<Judged> {
    let expected = evidence.sample;
    let Some(found) = as_nchw(tensor, expected.dim()) else {
        return Ok(evidence.known(wrong_shape(evidence, tensor)).into());
    };
    if evidence.knows(Code::NonFiniteOutput) && found.iter().any(|value| !value.is_finite()) {
        let count = found.iter().filter(|value| !value.is_finite()).count();
        let title = format!("{count} values of the preprocessed tensor are NaN or infinite");
        return Ok(Finding::new(&NON_FINITE_OUTPUT, title).evidence("non_finite", count).into());
    }
    let difference = Difference::of_tensors(expected, &found, "the picture in [-1, 1]");
    Ok(finite(evidence, &found)?.at(difference))
}

fn finite(evidence: &Evidence, found: &Array4<f32>) -> Result<Judged> {
    let expected = evidence.sample;
    let difference = rms_difference(expected, found);
    if difference < 1e-6 {
        return Ok(Judged::default());
    }
    if let Some(finding) = evidence.known(other_alpha(expected, found)) {
        return Ok(finding.into());
    }
    let floor = if are_levels(found) { FLOOR_OF_LEVELS } else { FLOOR };
    let mut competition = Competition::new(floor, ROUNDING, evidence.unknown);
    let offer = |competition: &mut Competition, explanation: Explanation| {
        let left = explanation.left;
        competition.offer(
            explanation
                .number("rms_difference", difference)
                .number("rms_difference_explained", left),
        );
    };
    let mut tried: Vec<Tried> = resizings(evidence);
    if difference > ROUNDING {
        tried = readings();
        tried.extend(explanations(evidence));
    }
    for Tried { cause, what, change } in tried {
        let Some(candidate) = change.apply(evidence)? else { continue };
        if candidate.dim() != found.dim() {
            continue;
        }
        let left = rms_difference(&candidate, found);
        let explanation = Explanation::new(cause, what, difference, left);
        let explanation = match change {
            Change::Range(range) => explanation.number("slope_and_offset", range),
            _ => explanation,
        };
        offer(&mut competition, explanation);
    }
    if difference > ROUNDING && !competition.done() {
        for explanation in recolourings(expected, found, difference) {
            offer(&mut competition, explanation);
        }
    }
    let compression = Compressed::of(evidence.seen)?;
    let allowed = compression.distance();
    let mut outcome = competition.outcome((allowed.rms * LEVEL).max(ROUNDING));
    // One colour becomes another by any line: compression that shifts it is no change of levels.
    let flat = evidence.seen.only_colour().is_some()
        && outcome.first().is_some_and(|one| is_of_colours(one.cause.code));
    if (flat || outcome.doubts(is_of_colours)) && looks_compressed(evidence, found, &allowed)? {
        outcome = Outcome::Unexplained;
    }
    let finding = outcome.finding("the preprocessed tensor is the picture ", difference >= ALTERED);
    match finding {
        Some(nearest) if matches!(outcome, Outcome::Nearest(_)) && difference >= ALTERED => {
            let judged = unexplained(evidence, found, &compression, &competition)?;
            Ok(judged.beside(nearest))
        }
        Some(finding) => Ok(finding.into()),
        None if difference <= ROUNDING => Ok(Judged::default()),
        None => unexplained(evidence, found, &compression, &competition),
    }
}

/// Of a sample in RGBA whose colours are the picture's, and alpha is not.
fn other_alpha(expected: &Array4<f32>, found: &Array4<f32>) -> Option<Finding> {
    let left = alpha_difference(expected, found);
    if left <= ROUNDING || rms_difference(colours(expected), colours(found)) > ROUNDING {
        return None;
    }
    let [seen, fed] = [expected, found].map(beside_colours);
    let is = |changed: fn(f32) -> f32| rms_difference(&seen.mapv(changed), fed.iter()) <= ROUNDING;
    let what = if is(|_| 1.0) {
        "opaque throughout"
    } else if is(|_| -1.0) {
        "that of nothing but transparent pixels"
    } else if is(|alpha| -alpha) {
        "inverted: transparent is opaque"
    } else if is(|alpha| (alpha + 1.0) / 2.0) {
        "in [0, 1], beside colours in [-1, 1]"
    } else {
        "not the picture's"
    };
    let title =
        format!("the preprocessed tensor has the picture's colours, and its alpha is {what}");
    let finding = Finding::new(&PREPROCESSED_DIFFERS, title);
    let remedy = "feed the file's own alpha as the fourth channel, in [-1, 1]: 1 is opaque";
    Some(finding.remedy(remedy).evidence("rms_difference_of_alpha", left))
}

/// RMS difference of what is beside the colours: 0 of samples in RGB.
fn alpha_difference(expected: &Array4<f32>, found: &Array4<f32>) -> f64 {
    if expected.dim().1 < 4 {
        return 0.0;
    }
    rms_difference(beside_colours(expected), beside_colours(found))
}

/// The alpha of a sample in RGBA (1, 4, H, W); of one in RGB no channel.
fn beside_colours(sample: &Array4<f32>) -> ArrayView4<'_, f32> {
    sample.slice(s![.., 3.., .., ..])
}

/// Whether all are levels of 8 bits in [-1, 1]: whatever was done was done to a picture.
fn are_levels(found: &Array4<f32>) -> bool {
    found.iter().all(|&value| {
        let level = (f64::from(value) + 1.0) / LEVEL;
        (level - level.round()).abs() < 1e-3 && (-0.5..255.5).contains(&level)
    })
}

/// Whether it is off by no more than compression, and no block is lighter or darker by more.
fn looks_compressed(evidence: &Evidence, found: &Array4<f32>, allowed: &Distance) -> Result<bool> {
    let distance = Distance::between(evidence.seen, &denormalize(found.view(), Dtype::F32)?);
    Ok(distance.is_within(allowed) && !distance.moves_blocks(allowed))
}

/// Lines, curves and matrices that are fitted to what was fed, but for the known ones.
fn recolourings(expected: &Array4<f32>, found: &Array4<f32>, difference: f64) -> Vec<Explanation> {
    let (from, to) = (pixels(expected), pixels(found));
    // No recolouring alters alpha.
    let of_alpha = alpha_difference(expected, found);
    let share = 3.0 / expected.dim().1 as f64;
    let ranges = ranges().map(|(_, range)| {
        // `scale * sample + offset`, in [0, 1].
        Recolouring::lines(range.map(|(scale, offset)| {
            let (scale, offset) = (f64::from(scale), f64::from(offset));
            (scale, (offset + 1.0 - scale) / 2.0)
        }))
    });
    // Pipelines clamp to [0, 1], or do not.
    let clamped = to.iter().flatten().all(|level| (0.0..=1.0).contains(level));
    fitted(&from, &to, clamped.then_some(LEVEL / 4.0))
        .into_iter()
        .filter(|fit| !ranges.iter().any(|range| fit.recolouring.is_near(*range)))
        .map(|Named { cause, what, recolouring, free }| {
            let changed = from.iter().map(|&pixel| match clamped {
                true => recolouring.of(pixel).map(|level| level.clamp(0.0, 1.0)),
                false => recolouring.of(pixel),
            });
            let left = 2.0 * rms(changed, &to);
            let left = (share * left.powi(2) + (1.0 - share) * of_alpha.powi(2)).sqrt();
            // Levels may move a little; what leaves [0, 1] far behind is another range.
            let outside = |pixel: [f64; 3]| {
                recolouring.of(pixel).iter().any(|level| !(-0.4..=1.4).contains(level))
            };
            let in_range = !outside([0.0; 3]) && !outside([1.0; 3]);
            let cause = match cause.code {
                Code::LevelsChanged if !in_range => &INPUT_NOT_NORMALISED,
                _ => cause,
            };
            Explanation::new(cause, what, difference, left).fitted(free)
        })
        .collect()
}

/// A sample (1, 3, H, W) in [-1, 1] as pixels in [0, 1].
fn pixels(sample: &Array4<f32>) -> Vec<Rgb> {
    let (_, _, height, width) = sample.dim();
    let at = |c: usize, i: usize| f64::from(sample[[0, c, i / width, i % width]]) / 2.0 + 0.5;
    (0..height * width).map(|i| [at(0, i), at(1, i), at(2, i)]).collect()
}

/// A tensor of four dimensions, or three, in the order of `shape` or with channels last.
fn as_nchw(tensor: &ArrayD<f32>, shape: (usize, usize, usize, usize)) -> Option<Array4<f32>> {
    let four = with_batch(tensor)?;
    let last = four.permuted_axes([0, 3, 1, 2]);
    let found = [four, last].into_iter().find(|view| view.dim() == shape)?;
    Some(found.as_standard_layout().to_owned())
}

/// `exif-ignored` where a turn explains exchanged sides, else another shape's finding.
fn wrong_shape(evidence: &Evidence, tensor: &ArrayD<f32>) -> Finding {
    let expected = evidence.sample;
    let (n, c, h, w) = expected.dim();
    let exchanged = as_nchw(tensor, (n, c, w, h));
    if let Some(found) = &exchanged {
        let sample = expected.index_axis(Axis(0), 0);
        let turns = SYMMETRIES.into_iter().filter(|(symmetry, _)| symmetry.transposed);
        let known = |symmetry: &Symmetry| evidence.knows(symmetry.cause(evidence.orientation).code);
        let turned = turns.filter(|(symmetry, _)| known(symmetry)).find_map(|(symmetry, name)| {
            let turned = symmetry.apply(sample).insert_axis(Axis(0));
            let line = Line::through(&turned, found)?;
            (line.correlation > 0.95).then_some((symmetry, name, line))
        });
        if let Some((symmetry, name, line)) = turned {
            let title = format!("the preprocessed tensor is the picture {name}");
            return Finding::new(symmetry.cause(evidence.orientation), title)
                .severity(Severity::Error)
                .evidence("correlation", line.correlation);
        }
    }
    let title =
        format!("the preprocessed tensor is {:?}, expected {:?}", tensor.shape(), expected.shape());
    let exchanged = exchanged.is_some() && evidence.knows(Code::LayoutScrambled);
    other_size(title, exchanged, expected.shape(), tensor.shape())
}

/// What is said where no rule explains the difference: nothing, if JPEG or WebP at quality 75 makes as much.
fn unexplained(
    evidence: &Evidence,
    found: &Array4<f32>,
    compression: &Compressed,
    competition: &Competition,
) -> Result<Judged> {
    let fed = denormalize(found.view(), Dtype::F32)?;
    let distance = Distance::between(evidence.seen, &fed);
    let allowed = compression.distance();
    let region = |picture: &Rgb8| Region::of_pictures(evidence.seen, picture);
    let [jpeg, webp] = compression.pictures.each_ref().map(region);
    let beyond = region(&fed).beyond(&jpeg.or(&webp));
    if let Some(finding) = evidence.known(beyond.rectangle("the preprocessed tensor")) {
        return Ok(finding.evidence("rms_levels", distance.rms).into());
    }
    let in_range = found.iter().all(|value| value.abs() <= 1.05);
    let correlation = Line::through(evidence.sample, found).map_or(0.0, |line| line.correlation);
    let resized = evidence.source.data().len() != evidence.seen.data().len();
    let other_resize = resized && evidence.knows(Code::ResizeMismatch);
    // Other ways of resizing soften by less.
    let blurred = blur(evidence.seen, &fed)?
        .filter(|blur| blur.is_all_of(distance.rms) && (!resized || blur.sigma_pixels >= 1.0));
    let finding = match blurred {
        Some(blur) if in_range => {
            let sigma = blur.sigma_pixels;
            let title =
                format!("the preprocessed tensor is the picture, blurred by about {sigma} pixels");
            Finding::new(&PREPROCESSED_DIFFERS, title).evidence("blurred_by_pixels", sigma)
        }
        _ if in_range && distance.is_within(&allowed) && other_resize => Finding::new(
            &RESIZE_MISMATCH,
            "the preprocessed tensor is the picture resized in a way that none of the known filters gives, or compressed",
        ),
        _ if in_range && distance.is_within(&allowed) => {
            return Ok(Judged::passing(format!("JPEG or WebP at quality {QUALITY} does as much")));
        }
        _ if resized && correlation > 0.9 => Finding::new(
            &PREPROCESSED_DIFFERS,
            "the preprocessed tensor is this picture, but neither a known way of resizing nor another rule gives it",
        ),
        _ => Finding::new(
            &PREPROCESSED_DIFFERS,
            "the preprocessed tensor is not this picture, and no rule says why",
        ),
    };
    let finding = finding
        .evidence("rms_difference", rms_difference(evidence.sample, found))
        .evidence("correlation", correlation)
        .evidence("rms_levels", distance.rms)
        .evidence("rms_levels_of_worst_block", distance.worst_block);
    let finding = compression.told(finding).evidence("ruled_out", competition.ruled_out());
    Ok(evidence.known(finding).into())
}

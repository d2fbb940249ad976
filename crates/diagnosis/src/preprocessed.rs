//! The tensor that the user's code fed to the encoder, beside the one that it should have fed.

use ndarray::{Array4, ArrayD, Axis};

use super::changes::{Change, Explanation, INPUT_NOT_NORMALISED, explanations, resizings};
use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::evidence::{Evidence, with_batch};
use super::finding::Finding;
use super::fit::{Line, rms_difference};
use super::non_finite::NON_FINITE_OUTPUT;
use super::resampling::RESIZE_MISMATCH;
use super::severity::Severity;
use super::sizes::other_size;
use vae_fidelity_files::error::Result;

pub(super) const PREPROCESSED_DIFFERS: Cause = Cause {
    code: Code::PreprocessedDiffers,
    severity: Severity::Warning,
    title: "the tensor you fed is not this picture, and no rule says why",
    meaning: "It was made from another file, or by a step that has no rule here.",
    rule: "Shapes agree, and neither a range, an order of channels or axes, a symmetry nor a \
           way of resizing brings the expected tensor to yours.",
    remedy: "check that both sides open the same file, and save the tensor right before encode",
    diffusers: "save what VaeImageProcessor.preprocess returns",
    comfyui: "save the image that goes into VAE Encode, times 2, minus 1",
    ports: "save the encoder's argument itself",
    sources: &[],
    decided_by: &[DecidedBy::Preprocessed],
};

/// RMS that rounding to bf16 leaves in [-1, 1], with room.
const ROUNDING: f64 = 0.004;
/// How much of the difference an explanation has to take away.
const EXPLAINED: f64 = 0.3;

/// What is wrong with the preprocessed tensor; empty where it is the expected one.
pub(super) fn findings(evidence: &Evidence, tensor: &ArrayD<f32>) -> Result<Vec<Finding>> {
    let expected = evidence.sample;
    let Some(found) = as_nchw(tensor, expected.dim()) else {
        return Ok(vec![wrong_shape(tensor, expected)]);
    };
    if found.iter().any(|value| !value.is_finite()) {
        let count = found.iter().filter(|value| !value.is_finite()).count();
        let title = format!("{count} values of the preprocessed tensor are NaN or infinite");
        return Ok(vec![Finding::new(&NON_FINITE_OUTPUT, title).evidence("non_finite", count)]);
    }
    let difference = rms_difference(expected, &found);
    let mut tried: Vec<Explanation> = resizings(evidence);
    if difference > ROUNDING {
        if let Some(finding) = range(expected, &found) {
            return Ok(vec![finding]);
        }
        tried = explanations(evidence);
        // The encoder's fault, not its input's.
        tried.retain(|explanation| !matches!(explanation.change, Change::Moved(_)));
    } else if difference < 1e-6 {
        return Ok(Vec::new());
    }
    let mut best: Option<(f64, Explanation)> = None;
    for explanation in tried {
        let Some(candidate) = explanation.change.apply(evidence)? else { continue };
        if candidate.dim() != found.dim() {
            continue;
        }
        let left = rms_difference(&candidate, &found);
        if best.as_ref().is_none_or(|(least, _)| left < *least) {
            best = Some((left, explanation));
        }
    }
    Ok(match best {
        Some((left, explanation)) if left <= EXPLAINED * difference => {
            let title = format!("the preprocessed tensor is the picture {}", explanation.what);
            vec![
                Finding::new(explanation.cause, title)
                    .evidence("rms_difference", difference)
                    .evidence("rms_difference_explained", left),
            ]
        }
        _ if difference <= ROUNDING => Vec::new(),
        _ => vec![unexplained(evidence, &found, difference)],
    })
}

/// A tensor of four dimensions, or three, in the order of `shape` or with channels last.
fn as_nchw(tensor: &ArrayD<f32>, shape: (usize, usize, usize, usize)) -> Option<Array4<f32>> {
    let four = with_batch(tensor)?;
    let last = four.permuted_axes([0, 3, 1, 2]);
    let found = [four, last].into_iter().find(|view| view.dim() == shape)?;
    Some(found.as_standard_layout().to_owned())
}

fn wrong_shape(tensor: &ArrayD<f32>, expected: &Array4<f32>) -> Finding {
    let (n, c, h, w) = expected.dim();
    let exchanged = as_nchw(tensor, (n, c, w, h)).is_some();
    let title =
        format!("the preprocessed tensor is {:?}, expected {:?}", tensor.shape(), expected.shape());
    other_size(title, exchanged, expected.shape(), tensor.shape())
}

/// `input-not-normalised`, where each channel is a line of the expected one.
fn range(expected: &Array4<f32>, found: &Array4<f32>) -> Option<Finding> {
    let lines: Vec<Line> = (0..expected.dim().1)
        .map(|channel| {
            let side = |tensor| Array4::index_axis(tensor, Axis(1), channel).to_owned();
            Line::through(&side(expected), &side(found))
        })
        .collect::<Option<_>>()?;
    let straight = |line: &Line| line.correlation > 0.999 && line.residual <= 0.02 * line.spread[1];
    let moved = |line: &Line| (line.slope - 1.0).abs() > 0.02 || line.offset.abs() > 0.02;
    if !lines.iter().all(straight) || !lines.iter().any(moved) {
        return None;
    }
    let known = super::changes::ranges().into_iter().find(|(_, range)| {
        lines.iter().zip(range).all(|(line, (scale, offset))| {
            let (scale, offset) = (f64::from(*scale), f64::from(*offset));
            (line.slope - scale).abs() <= 0.02 * scale.abs()
                && (line.offset - offset).abs() <= 0.02 * scale.abs().max(offset.abs())
        })
    });
    let title = match known {
        Some((name, _)) => format!("the preprocessed tensor is in another range: {name}"),
        None => "the preprocessed tensor is a line of the expected one, not it".to_owned(),
    };
    let pairs: Vec<[f64; 2]> = lines.iter().map(|line| [line.slope, line.offset]).collect();
    Some(Finding::new(&INPUT_NOT_NORMALISED, title).evidence("slope_and_offset", pairs))
}

fn unexplained(evidence: &Evidence, found: &Array4<f32>, difference: f64) -> Finding {
    let correlation = Line::through(evidence.sample, found).map_or(0.0, |line| line.correlation);
    let resized = evidence.source.data().len() != evidence.seen.data().len();
    let finding = if resized && correlation > 0.9 {
        Finding::new(
            &RESIZE_MISMATCH,
            "the preprocessed tensor is the picture resized in a way that none of the known filters gives",
        )
    } else {
        Finding::new(
            &PREPROCESSED_DIFFERS,
            "the preprocessed tensor is not this picture, and no rule says why",
        )
    };
    finding.evidence("rms_difference", difference).evidence("correlation", correlation)
}

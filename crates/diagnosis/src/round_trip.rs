//! Input against output of one trip: ranges and channel orders that weights, or a port, get wrong.

use super::changes::{CHANNEL_ORDERS, CHANNEL_SWAP, INPUT_NOT_NORMALISED};
use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::evidence::Evidence;
use super::finding::Finding;
use super::fit::Line;
use super::severity::Severity;

use ndarray::Axis;

pub(super) const OUTPUT_NOT_DENORMALISED: Cause = Cause {
    code: Code::OutputNotDenormalised,
    severity: Severity::Error,
    title: "the decoder's [-1, 1] was taken for [0, 1]",
    meaning: "All that is darker than middle grey becomes black, and the rest twice as \
              contrasty.",
    rule: "(a, b) of y = a x + b near (2, -1), with more than 30 % new zeros; or the picture \
           matches the decoded tensor clamped to [0, 1].",
    remedy: "map the decoded tensor to [0, 1] before making a picture: y / 2 + 0.5, clamped",
    diffusers: "use VaeImageProcessor.postprocess, or (y / 2 + 0.5).clamp(0, 1)",
    comfyui: "use the VAE Decode node; in a custom node, (y + 1) / 2",
    ports: "y / 2 + 0.5, clamp to [0, 1], times 255, round",
    sources: &["Nerogar/OneTrainer#440"],
    decided_by: &[DecidedBy::Check, DecidedBy::DecodedImage],
};

/// Below this spread (of 2), a picture is too flat for a slope.
const FLAT: f64 = 0.08;
/// A line that explains less has no say.
const EXPLAINED: f64 = 0.8;
const NEAR: f64 = 0.1;
/// How far the range has to move a picture's brightness to be told from lost contrast, of 1, and how nearly
/// it has to do so.
const MOVED: f64 = 0.1;
const ALIKE: f64 = 0.25;

/// `input-not-normalised`, `output-not-denormalised`, `channel-swap`.
pub(super) fn findings(evidence: &Evidence) -> Vec<Finding> {
    if evidence.sample.dim() != evidence.decoded.dim() {
        return Vec::new();
    }
    match Line::through(evidence.sample, evidence.decoded) {
        Some(line) if line.spread[0] >= FLAT => {
            evidence.known(range(&line)).or_else(|| evidence.known(channels(evidence)))
        }
        _ => None,
    }
    .into_iter()
    .collect()
}

fn range(line: &Line) -> Option<Finding> {
    // In [0, 1], as the rule is written.
    let (a, b) = (line.slope, (line.offset + 1.0 - line.slope) / 2.0);
    if line.correlation < EXPLAINED {
        return None;
    }
    let near =
        |slope: f64, offset: f64, by: f64| (a - slope).abs() <= by && (b - offset).abs() <= by;
    let (cause, title, [slope, offset]) = if near(0.5, 0.5, NEAR) {
        let title = "the output is the input with half its contrast, moved up: the VAE takes [0, 1] for [-1, 1]";
        (&INPUT_NOT_NORMALISED, title, [0.5, 0.5])
    } else if near(2.0, -1.0, 3.5 * NEAR) {
        let title = "the output has twice the input's contrast, moved down: its range is converted once too often, or not at all";
        (&OUTPUT_NOT_DENORMALISED, title, [2.0, -1.0])
    } else {
        return None;
    };
    // A VAE that is only weak flattens contrast about the picture's own brightness, and leaves that.
    let [before, after] = line.mean.map(|level| (level + 1.0) / 2.0);
    let (moved, expected) = (after - before, slope * before + offset - before);
    let is_moved = expected.abs() >= MOVED && (moved / expected - 1.0).abs() <= ALIKE;
    let severity = if is_moved { Severity::Error } else { Severity::Warning };
    let finding = Finding::new(cause, title).severity(severity).evidence("brightness_moved", moved);
    Some(finding.evidence("a", a).evidence("b", b).evidence("correlation", line.correlation))
}

fn channels(evidence: &Evidence) -> Option<Finding> {
    let error = |order: [usize; 3]| -> f64 {
        (0..3)
            .map(|channel| {
                let input = evidence.sample.index_axis(Axis(1), order[channel]);
                let output = evidence.decoded.index_axis(Axis(1), channel);
                super::fit::rms_difference(input, output).powi(2)
            })
            .sum()
    };
    let identity = error([0, 1, 2]);
    let (order, name, swapped) = CHANNEL_ORDERS
        .into_iter()
        .map(|(order, name)| (order, name, error(order)))
        .min_by(|a, b| a.2.total_cmp(&b.2))?;
    // Greyish pictures hardly change with the order; a tint must not decide.
    let grey =
        super::fit::rms_difference(&evidence.sample.select(Axis(1), &order), evidence.sample);
    let found = swapped.is_finite() && swapped <= identity / 2.0 && grey >= FLAT;
    found.then(|| {
        Finding::new(&CHANNEL_SWAP, format!("the output fits the input best in {name} order"))
            .evidence("order", name)
            .evidence("mean_squared_error_ratio", swapped / identity)
            .severity(Severity::Error)
    })
}

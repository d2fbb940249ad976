//! Input against output of one trip: ranges and channel orders that weights, or a port, get wrong.

use super::changes::{CHANNEL_ORDERS, CHANNEL_SWAP, INPUT_NOT_NORMALISED};
use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::evidence::{Evidence, colours};
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
    rule: "(a, b) of y = a x + b near (2, -1); or what is decoded is darker than black on average, by what \
           2 x - 1 makes of the picture; or the picture matches the decoded tensor clamped to [0, 1].",
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
/// The same where contrast says nothing, and what has to be left of the picture then.
const SURELY: f64 = 0.1;
const RELATED: f64 = 0.3;
/// Brightness up to which a picture's own says what its output's means.
const DARK: f64 = 0.4;
/// Slope and offset, in [0, 1], of a decoder that puts out [0, 1], and of one whose range is doubled.
const UNIT: [f64; 2] = [0.5, 0.5];
const DOUBLED: [f64; 2] = [2.0, -1.0];

/// `input-not-normalised`, `output-not-denormalised`, `channel-swap`.
pub(super) fn findings(evidence: &Evidence) -> Vec<Finding> {
    if evidence.sample.dim() != evidence.decoded.dim() {
        return Vec::new();
    }
    let (seen, came) = (colours(evidence.sample), colours(evidence.decoded));
    let Some(line) = Line::through(seen, came) else { return Vec::new() };
    let mut rules = vec![darker_than_black(&line)];
    if line.spread[0] >= FLAT {
        rules.extend([range(&line), channels(evidence)]);
    }
    rules.into_iter().find_map(|found| evidence.known(found)).into_iter().collect()
}

/// Brightness, 0 to 1, of the picture and of what was decoded.
fn brightness(line: &Line) -> [f64; 2] {
    line.mean.map(|level| (level + 1.0) / 2.0)
}

/// Whether brightness moved as `slope` and `offset` would move it, but for this share; `None` where they would
/// hardly.
fn moved_as(line: &Line, [slope, offset]: [f64; 2], alike: f64) -> Option<bool> {
    let [before, after] = brightness(line);
    let expected = slope * before + offset - before;
    (expected.abs() >= MOVED).then(|| ((after - before) / expected - 1.0).abs() <= alike)
}

/// Whether a dark picture came out as bright as one whose decoder puts out [0, 1].
pub(super) fn is_lifted_to_unit(line: &Line) -> bool {
    brightness(line)[0] <= DARK && moved_as(line, UNIT, SURELY) == Some(true)
}

/// Dark pictures lose their contrast in a doubled range; but no sound VAE's output is darker than black.
fn darker_than_black(line: &Line) -> Option<Finding> {
    let [before, after] = brightness(line);
    let related = line.correlation >= RELATED;
    let is_doubled = after < -MOVED && moved_as(line, DOUBLED, SURELY) == Some(true);
    (related && is_doubled).then(|| {
        Finding::new(&OUTPUT_NOT_DENORMALISED, format!(
            "the output is darker than black ({after:.2}, where the picture is {before:.2} and 0 to 1 is meant): \
             its range is converted once too often"
        ))
        .severity(Severity::Error)
        .evidence("brightness_moved", after - before)
        .evidence("correlation", line.correlation)
    })
}

fn range(line: &Line) -> Option<Finding> {
    // In [0, 1], as the rule is written.
    let (a, b) = (line.slope, (line.offset + 1.0 - line.slope) / 2.0);
    if line.correlation < EXPLAINED {
        return None;
    }
    let near =
        |[slope, offset]: [f64; 2], by: f64| (a - slope).abs() <= by && (b - offset).abs() <= by;
    let (cause, title, by) = if near(UNIT, NEAR) {
        let title = "the output is the input with half its contrast, moved up: the VAE takes [0, 1] for [-1, 1]";
        (&INPUT_NOT_NORMALISED, title, UNIT)
    } else if near(DOUBLED, 3.5 * NEAR) {
        let title = "the output has twice the input's contrast, moved down: its range is converted once too often, or not at all";
        (&OUTPUT_NOT_DENORMALISED, title, DOUBLED)
    } else {
        return None;
    };
    // A VAE that is only weak flattens contrast about the picture's own brightness, and leaves that; none doubles
    // it.
    let is_moved = moved_as(line, by, ALIKE).unwrap_or(by == DOUBLED);
    let severity = if is_moved { Severity::Error } else { Severity::Warning };
    let [before, after] = brightness(line);
    let finding = Finding::new(cause, title).severity(severity);
    let finding = finding.evidence("brightness_moved", after - before);
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
    let seen = colours(evidence.sample);
    let grey = super::fit::rms_difference(&seen.select(Axis(1), &order), seen);
    let found = swapped.is_finite() && swapped <= identity / 2.0 && grey >= FLAT;
    found.then(|| {
        Finding::new(&CHANNEL_SWAP, format!("the output fits the input best in {name} order"))
            .evidence("order", name)
            .evidence("mean_squared_error_ratio", swapped / identity)
            .severity(Severity::Error)
    })
}

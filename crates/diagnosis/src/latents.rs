//! The user's latents beside the expected ones: scale, shift, statistics, draw, layout, and what
//! happened to the picture before.

use ndarray::{Array4, ArrayD, Axis, s};

use super::changes::{
    Change, LAYOUT_SCRAMBLED, Layout, SYMMETRIES, explanations, interior, resizings,
};
use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::evidence::{Evidence, with_batch};
use super::finding::Finding;
use super::fit::{Line, spread};
use super::non_finite::NON_FINITE_OUTPUT;
use super::scaling::{self, Affine};
use super::severity::Severity;
use super::sizes::{WRONG_FAMILY_CHANNELS, other_size};
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_files::error::Result;

pub(super) const SAMPLE_VS_MODE: Cause = Cause {
    code: Code::SampleVsMode,
    severity: Severity::Warning,
    title: "latents are a draw from the posterior where its mode is expected, or the reverse",
    meaning: "A draw differs from run to run, and is a little noisier. Training takes draws; \
              editing and measuring should take the mode.",
    rule: "(z - mean) / std of your latents is standard normal (mean within 0.1, spread 0.9 to \
           1.1); or, with `sample`, your latents are the mode.",
    remedy: "take the mode of the posterior (or a draw) on both sides",
    diffusers: "latent_dist.mode() for the mode, latent_dist.sample(generator) for a draw",
    comfyui: "VAE Encode takes the mode for some models and draws for others; see \
              regularization in its VAE class",
    ports: "the first half of the moments is the mode; the second is log-variance, clamped to \
            [-30, 20]",
    sources: &["bghira/SimpleTuner#1722"],
    decided_by: &[DecidedBy::Latents],
};

pub(super) const LATENTS_DIFFER: Cause = Cause {
    code: Code::LatentsDiffer,
    severity: Severity::Warning,
    title: "your latents are not this VAE's, and no rule says why",
    meaning: "They were made from another picture, by other weights, or by a fault that has \
              no rule here.",
    rule: "Shapes agree, the relative RMS difference passes 10 % (or 3 times the posterior's \
           own spread), and no other rule explains it.",
    remedy: "compare layer by layer: check `against` a trace of your own run",
    diffusers: "check that both sides load the same files: `repo` with the same revision",
    comfyui: "check that both sides load the same VAE file",
    ports: "save a trace of your encoder, and pass it with `against`",
    sources: &[],
    decided_by: &[DecidedBy::Latents],
};

/// Relative residual that f16, bf16 and other kernels may leave.
const ROUNDING: f64 = 0.02;
/// Relative residual below which a resize is not looked into.
const PRECISE: f64 = 0.004;
/// Up to this, latents are a line of the expected ones.
const LINE: f64 = 0.08;
/// How much of the residual an explanation has to take away, and what it may leave.
const EXPLAINED: f64 = 0.35;
const LEFT: f64 = 0.3;
/// The same for a move, which is only nearly what padding does.
const MOVED: (f64, f64) = (0.6, 0.7);

/// What is wrong with the user's latents; empty where they are the expected ones.
pub(super) fn findings(evidence: &Evidence, tensor: &ArrayD<f32>) -> Result<Vec<Finding>> {
    let expected = &evidence.encoded.latents;
    let found = match as_nchw(tensor, expected) {
        Ok(found) => found,
        Err(finding) => return Ok(vec![*finding]),
    };
    let non_finite = found.iter().filter(|value| !value.is_finite()).count();
    if non_finite > 0 {
        let title = format!("{non_finite} values of your latents are NaN or infinite");
        let finding = Finding::new(&NON_FINITE_OUTPUT, title).evidence("non_finite", non_finite);
        return Ok(vec![finding.at("encoder")]);
    }
    if spread(&found) == 0.0 {
        let title = "your latents are one constant: the encoder's output did not reach the file";
        return Ok(vec![Finding::new(&LATENTS_DIFFER, title).severity(Severity::Error)]);
    }
    let affine = Affine::of(evidence.vae.config(), evidence.files.latents_scale);
    let noise = posterior_noise(evidence);
    if affine.per_channel()
        && let Some(findings) = scaling::per_channel(&affine, expected, &found, noise)
    {
        return Ok(findings);
    }
    let Some(line) = Line::through(expected, &found) else { return Ok(Vec::new()) };
    let residual = line.residual / line.spread[1];
    // A wide posterior hides the line, but not from who knows where to look.
    if let (false, Some(finding)) =
        (affine.per_channel(), draw(evidence, affine.line(), &found, noise))
    {
        return Ok(vec![finding]);
    }
    let drawn = draw(evidence, (line.slope, line.offset), &found, noise);
    // A posterior as wide as the latents leaves no line; its draws are known by their statistics.
    let straight = residual <= LINE || (residual <= 2.0 * noise && drawn.is_some());
    if straight && line.slope != 0.0 {
        let mut findings = scaling::line(&affine, &line);
        if drawn.is_some() || residual <= PRECISE {
            findings.extend(drawn);
            return Ok(findings);
        }
        let explained = match residual <= ROUNDING {
            true => explain(evidence, &found, resizings(evidence), noise)?,
            false => explain(evidence, &found, explanations(evidence), noise)?,
        };
        findings.extend(explained.map(|explained| explained.finding));
        return Ok(findings);
    }
    if let Some(finding) = scrambled(expected, &found) {
        return Ok(vec![finding]);
    }
    if let Some(explained) = explain(evidence, &found, explanations(evidence), noise)? {
        let mut findings = vec![explained.finding];
        match explained.nearly {
            true => findings.extend(scaling::nearly(&affine, &explained.line)),
            false => findings.extend(scaling::line(&affine, &explained.line)),
        }
        return Ok(findings);
    }
    if let Some(findings) = scaling::per_channel(&affine, expected, &found, noise) {
        return Ok(findings);
    }
    let title = "your latents are not this VAE's latents of this picture, and no rule says why";
    Ok(vec![
        Finding::new(&LATENTS_DIFFER, title)
            .evidence("correlation", line.correlation)
            .evidence("relative_residual", residual),
    ])
}

/// The user's tensor as the expected shape, or what is wrong with its shape.
fn as_nchw(
    tensor: &ArrayD<f32>,
    expected: &Array4<f32>,
) -> std::result::Result<Array4<f32>, Box<Finding>> {
    let shape = expected.dim();
    let (n, channels, height, width) = shape;
    let four = with_batch(tensor);
    let title = format!("your latents are {:?}, expected {:?}", tensor.shape(), expected.shape());
    let other_size = |exchanged: bool| {
        Err(Box::new(other_size(title.clone(), exchanged, expected.shape(), tensor.shape())))
    };
    let Some(four) = four else { return other_size(false) };
    let found = four.dim();
    if found == shape {
        return Ok(four.to_owned());
    }
    if found == (n, height, width, channels) {
        return Ok(four.permuted_axes([0, 3, 1, 2]).as_standard_layout().to_owned());
    }
    // Moments: mean first.
    if found == (n, 2 * channels, height, width) {
        return Ok(four.slice(s![.., ..channels, .., ..]).to_owned());
    }
    if found == (n, channels, width, height) {
        return other_size(true);
    }
    if found.1 != channels && found.3 != channels {
        let title = format!("{title}: {} channels are another family's", found.1);
        return Err(Box::new(
            Finding::new(&WRONG_FAMILY_CHANNELS, title)
                .evidence("expected", expected.shape())
                .evidence("found", tensor.shape()),
        ));
    }
    other_size(false)
}

/// RMS of the posterior's standard deviation over the spread of the latents.
fn posterior_noise(evidence: &Evidence) -> f64 {
    let Some(std) = &evidence.encoded.std else { return 0.0 };
    let square = std.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>();
    let noise = (square / std.len().max(1) as f64).sqrt();
    noise / spread(&evidence.encoded.latents).max(1e-12)
}

/// `sample-vs-mode`: whether what the line of this slope and offset leaves is a draw from the posterior.
fn draw(
    evidence: &Evidence,
    (slope, offset): (f64, f64),
    found: &Array4<f32>,
    noise: f64,
) -> Option<Finding> {
    if slope == 0.0 || noise <= 3.0 * coarseness(found) {
        return None;
    }
    let (mean, std) = (evidence.mean()?, evidence.encoded.std.as_ref()?);
    let (slope, offset) = (slope as f32, offset as f32);
    let standard = ndarray::Zip::from(found)
        .and(&mean)
        .and(std)
        .map_collect(|&z, &mean, &std| ((z - offset) / slope - mean) / std.max(1e-12));
    let spread = spread(&standard);
    let values = standard.len() as f64;
    let level = standard.iter().map(|&value| f64::from(value)).sum::<f64>() / values;
    // The spread of a sample's standard deviation is 1 / sqrt(2 n).
    let room = 0.1 + 3.0 / (2.0 * values).sqrt();
    let neighbours = Line::through(
        standard.slice(s![.., .., .., 1..]).iter(),
        standard.slice(s![.., .., .., ..-1]).iter(),
    );
    let rough = neighbours.is_none_or(|line| line.correlation.abs() < 0.15 + 3.0 / values.sqrt());
    let is_draw = (spread - 1.0).abs() <= room && level.abs() <= room && rough;
    let is_mode = spread <= 0.2;
    let title = match evidence.drawn {
        false if is_draw => {
            "your latents are a draw from the posterior, and this run took its mode"
        }
        true if is_mode => "your latents are the posterior's mode, and this run drew a sample",
        _ => return None,
    };
    Some(
        Finding::new(&SAMPLE_VS_MODE, title)
            .evidence("standardised_mean", level)
            .evidence("standardised_std", spread),
    )
}

/// Relative size of the steps in which values are stored, where that is f16 or bf16; 0 for f32.
fn coarseness(found: &Array4<f32>) -> f64 {
    let stored = |dtype: Dtype| found.iter().all(|&value| dtype.round(value) == value);
    match () {
        () if stored(Dtype::Bf16) => 1.0 / 256.0,
        () if stored(Dtype::F16) => 1.0 / 2048.0,
        () => 0.0,
    }
}

/// `layout-scrambled`: latents whose own axes were mixed up.
fn scrambled(expected: &Array4<f32>, found: &Array4<f32>) -> Option<Finding> {
    let layouts = [
        (Layout::HwcAsChw, "(h, w, C) in memory read as (C, h, w)"),
        (Layout::ChwAsHwc, "(C, h, w) in memory read as (h, w, C)"),
    ];
    let first = expected.index_axis(Axis(0), 0);
    let reread = layouts.map(|(layout, name)| (layout.apply(first), name));
    let turned = SYMMETRIES.map(|(symmetry, name)| (symmetry.apply(first), name));
    reread.into_iter().chain(turned).find_map(|(candidate, name)| {
        let candidate = candidate.insert_axis(Axis(0));
        if candidate.dim() != found.dim() {
            return None;
        }
        let line = Line::through(&candidate, found)?;
        (line.correlation > 0.99).then(|| {
            Finding::new(&LAYOUT_SCRAMBLED, format!("your latents are the expected ones: {name}"))
                .evidence("correlation", line.correlation)
        })
    })
}

/// What happened to the picture before it was encoded.
struct Explained {
    finding: Finding,
    /// From the latents of the picture so changed to the user's.
    line: Line,
    /// Whether these latents are only nearly the user's, so that the line is flatter than it should be.
    nearly: bool,
}

/// The best of `tried`, by encoding the picture so changed.
fn explain(
    evidence: &Evidence,
    found: &Array4<f32>,
    tried: Vec<super::changes::Explanation>,
    noise: f64,
) -> Result<Option<Explained>> {
    let relative = |latents: &Array4<f32>, border: usize| {
        let line = Line::through(interior(latents, border), interior(found, border))?;
        Some((line.residual / line.spread[1].max(1e-12), line))
    };
    let mut best: Option<(f64, f64, Line, super::changes::Explanation)> = None;
    for explanation in tried {
        // A move changes the border in ways that only the real padding has.
        let border = if matches!(explanation.change, Change::Moved(_)) { 2 } else { 0 };
        let Some(sample) = explanation.change.apply(evidence)? else { continue };
        if sample.dim() != evidence.sample.dim() {
            continue;
        }
        let latents = evidence.vae.encode(sample.view(), None)?.latents;
        let Some((left, line)) = relative(&latents, border) else { continue };
        let Some((before, _)) = relative(&evidence.encoded.latents, border) else { continue };
        if line.slope > 0.0 && best.as_ref().is_none_or(|(least, ..)| left < *least) {
            best = Some((left, before, line, explanation));
        }
        if left <= PRECISE {
            break;
        }
    }
    Ok(best
        .filter(|(left, before, _, explanation)| {
            let (share, most) = match explanation.change {
                Change::Moved(_) => MOVED,
                _ => (EXPLAINED, LEFT.max((2.0 * noise).min(0.5))),
            };
            *left <= share * before && *left <= most
        })
        .map(|(left, before, line, explanation)| {
            let title = format!("your latents are those of the picture {}", explanation.what);
            let finding = Finding::new(explanation.cause, title)
                .evidence("relative_residual", before)
                .evidence("relative_residual_explained", left);
            let finding = match explanation.cause.code {
                // A move is only nearly what padding does: found in 93 % of planted cases, so a
                // warning here.
                Code::SymmetricDownsamplePadding => {
                    finding.at("encoder.down_blocks.0.downsamplers.0").severity(Severity::Warning)
                }
                Code::ExifIgnored => finding.severity(Severity::Error),
                _ => finding,
            };
            let nearly = matches!(explanation.change, Change::Moved(_));
            Explained { finding, line, nearly }
        }))
}

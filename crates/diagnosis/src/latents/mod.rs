//! The user's latents beside the expected ones: scale, shift, statistics, draw, layout, and what
//! happened to the picture before.

pub(super) mod noise;
pub(super) mod repeated;
pub(super) mod patched;
mod search;

use ndarray::{Array4, ArrayD, Axis, s};

use super::affine::Affine;
use super::changes::{SYMMETRIES, explanations, resizings};
use super::codes::{Cause, Code};
use super::compared::{Difference, Judged};
use super::competition::Outcome;
use super::decided_by::DecidedBy;
use super::evidence::{Evidence, LatentsScale, with_batch};
use super::finding::Finding;
use super::fit::{Line, spread};
use super::legitimate::{QUALITY, through_jpeg};
use super::non_finite::NON_FINITE_OUTPUT;
use super::region::Region;
use super::scaling;
use super::severity::Severity;
use super::sizes::{WRONG_FAMILY_CHANNELS, other_size};
use noise::coarseness;
use repeated::repeated;
use search::{PRECISE, ROUNDING, Search};
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::image_processor::normalize;
use vae_fidelity_core::scaling::Scaling;
use vae_fidelity_files::error::Result;

pub(super) const LATENTS_DIFFER: Cause = Cause {
    code: Code::LatentsDiffer,
    severity: Severity::Error,
    title: "your latents are not this VAE's, and no rule says why",
    meaning: "They were made from another picture, by other weights, or by a fault that has \
              no rule here.",
    rule: "Shapes agree, the relative RMS difference passes 2 % (or what the posterior's spread or \
           JPEG at quality 75 make), and no other rule explains it.",
    remedy: "compare layer by layer: check `against` a trace of your own run",
    diffusers: "check that both sides load the same files: `repo` with the same revision",
    comfyui: "check that both sides load the same VAE file",
    ports: "save a trace of your encoder, and pass it with `against`",
    sources: &[],
    decided_by: &[DecidedBy::Latents],
};

/// Latents that correlate less than this are of no picture with other colours.
const RELATED: f64 = 0.3;

/// What is wrong with the user's latents, if anything, and how far off they are.
pub(super) fn judged(evidence: &Evidence, tensor: &ArrayD<f32>) -> Result<Judged> {
    if let Scaling::PatchedBatchNorm(rule) = evidence.vae.scaling()? {
        return patched::judged(evidence, &rule, tensor);
    }
    let found = match as_nchw(evidence, tensor, &evidence.encoded.latents) {
        Ok(found) => found,
        Err(finding) => {
            let finding = turned(evidence, tensor)?.unwrap_or(*finding);
            return Ok(evidence.known(finding).into());
        }
    };
    let non_finite = found.iter().filter(|value| !value.is_finite()).count();
    if non_finite > 0 && evidence.knows(Code::NonFiniteOutput) {
        let title = format!("{non_finite} values of your latents are NaN or infinite");
        let finding = Finding::new(&NON_FINITE_OUTPUT, title).evidence("non_finite", non_finite);
        return Ok(finding.at("encoder").into());
    }
    let affine = Affine::of(evidence.vae.config(), evidence.files.latents_scale);
    let what = match (evidence.drawn, evidence.files.latents_scale) {
        (false, LatentsScale::Scaled) => "this VAE's mode",
        (false, LatentsScale::Raw) => "this VAE's mode, unscaled",
        (true, LatentsScale::Scaled) => "this run's draw",
        (true, LatentsScale::Raw) => "this run's draw, unscaled",
    };
    let expected = affine.apply(&evidence.encoded.latents);
    let difference = Difference::of_tensors(&expected, &found, what);
    if let Some(finding) = evidence.known(repeated(&expected, &found)) {
        return Ok(Judged::from(finding).at(difference));
    }
    Ok(finite(evidence, &affine, &found)?.at(difference))
}

fn finite(evidence: &Evidence, affine: &Affine, found: &Array4<f32>) -> Result<Judged> {
    let expected = &evidence.encoded.latents;
    if spread(found) == 0.0 && evidence.knows(Code::LatentsDiffer) {
        let title = "your latents are one constant: the encoder's output did not reach the file";
        return Ok(Finding::new(&LATENTS_DIFFER, title).into());
    }
    let wide = posterior_noise(evidence);
    let std = evidence.encoded.std.as_ref();
    if affine.per_channel()
        && let Some(findings) = scaling::per_channel(affine, expected, found, std)
            .and_then(|findings| evidence.all_known(findings))
    {
        return Ok(findings.into());
    }
    let Some(line) = Line::through(expected, found) else { return Ok(Judged::default()) };
    let residual = line.residual / line.spread[1];
    // A wide posterior hides the line, but not from who knows where to look.
    if let (false, Some(finding)) =
        (affine.per_channel(), noise::noise(evidence, affine.line(), found, wide))
    {
        return Ok(finding.into());
    }
    if line.slope != 0.0 {
        let drawn = noise::noise(evidence, (line.slope, line.offset), found, wide);
        // What a draw or nothing at all leaves needs no other explanation.
        if (drawn.is_some() || residual <= PRECISE)
            && let Some(mut findings) = evidence.all_known(scaling::line(affine, &line))
        {
            findings.extend(drawn);
            return Ok(findings.into());
        }
    }
    let spread = line.spread[1];
    let pixels = evidence.vae.config().downsampling();
    let region =
        |scaled: &Array4<f32>| Region::of_latents(&affine.apply(expected), scaled, spread, pixels);
    let named = |name: fn(&Region, &str) -> Option<Finding>| -> Result<Option<Finding>> {
        if evidence.known(name(&region(found), "your latents")).is_none() {
            return Ok(None);
        }
        // Compression before the encoder differs most where there is detail.
        let compressed = affine.apply(&of_jpeg(evidence)?);
        let beyond = region(found).beyond(&region(&compressed));
        let finding = evidence.known(name(&beyond, "your latents"));
        Ok(finding.map(|finding| finding.evidence("relative_residual", residual)))
    };
    if let Some(finding) = named(Region::border)? {
        return Ok(finding.into());
    }
    let mut search = Search::new(evidence, affine, found);
    search.offer_line(&line);
    search.offer_unit_range();
    search.offer_layouts();
    // Rounding may hide another resize, and nothing else.
    search.offer_encoded(match residual <= ROUNDING {
        true => resizings(evidence),
        false => explanations(evidence),
    })?;
    let related = line.correlation.abs() >= RELATED;
    if residual > ROUNDING && related && !search.competition.done() {
        search.offer_fitted()?;
    }
    let allowed = ROUNDING.max((2.0 * wide).min(0.5)) * line.spread[1];
    let outcome = search.competition.outcome(allowed);
    let explained = matches!(outcome, Outcome::Clear(..) | Outcome::OneOf(..));
    let mut nearest = None;
    if let Some(findings) = search.findings(&outcome, &line) {
        if explained || !search.altered() {
            return Ok(findings.into());
        }
        nearest = findings.into_iter().next();
    }
    if nearest.is_none() && !explained {
        nearest = named(Region::rectangle)?;
    }
    if let Some(findings) = scaling::per_channel(affine, expected, found, std)
        .and_then(|findings| evidence.all_known(findings))
    {
        return Ok(findings.into());
    }
    let before = search.before() / line.spread[1];
    if (before <= ROUNDING.max(2.0 * coarseness(found)) || residual <= ROUNDING)
        && let Some(findings) = evidence.all_known(scaling::line(affine, &line))
    {
        return Ok(findings.into());
    }
    let compressed = of_jpeg(evidence)?;
    let by_jpeg = Line::through(expected, &compressed).map_or(0.0, |l| l.residual / l.spread[1]);
    if let (true, Some(nearest)) = (before <= by_jpeg, &nearest) {
        return Ok(nearest.clone().into());
    }
    if before <= by_jpeg {
        return Ok(Judged::passing(format!(
            "JPEG or WebP of the picture at quality {QUALITY} does as much"
        )));
    }
    let title = "your latents are not this VAE's latents of this picture, and no rule says why";
    let finding = Finding::new(&LATENTS_DIFFER, title)
        .evidence("correlation", line.correlation)
        .evidence("relative_residual", residual)
        .evidence("relative_difference", before)
        .evidence("relative_residual_of_jpeg_at_75", by_jpeg)
        .evidence("ruled_out", search.competition.ruled_out());
    let judged = Judged::from(evidence.known(finding));
    Ok(match nearest {
        Some(nearest) => judged.beside(nearest),
        None => judged,
    })
}

/// The user's tensor as the expected shape, or what is wrong with its shape.
fn as_nchw(
    evidence: &Evidence,
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
    if found == (n, channels, width, height) && evidence.knows(Code::LayoutScrambled) {
        return other_size(true);
    }
    let other_channels = found.1 != channels && found.3 != channels;
    if other_channels && evidence.knows(Code::WrongFamilyChannels) {
        let title = format!("{title}: {} channels are another family's", found.1);
        return Err(Box::new(
            Finding::new(&WRONG_FAMILY_CHANNELS, title)
                .evidence("expected", expected.shape())
                .evidence("found", tensor.shape()),
        ));
    }
    other_size(false)
}

/// Raw latents of the picture as a JPEG at the least quality that is no fault.
fn of_jpeg(evidence: &Evidence) -> Result<Array4<f32>> {
    let compressed = normalize(&through_jpeg(evidence.seen, QUALITY)?, Dtype::F32);
    Ok(evidence.vae.encode(compressed.view(), None)?.latents)
}

/// Latents whose sides are exchanged because the picture was turned before the encoder.
fn turned(evidence: &Evidence, tensor: &ArrayD<f32>) -> Result<Option<Finding>> {
    let (n, channels, height, width) = evidence.encoded.latents.dim();
    let exchanged = (n, channels, width, height);
    let Some(found) = with_batch(tensor).filter(|found| found.dim() == exchanged) else {
        return Ok(None);
    };
    let found = found.to_owned();
    for (symmetry, name) in SYMMETRIES.into_iter().filter(|(symmetry, _)| symmetry.transposed) {
        let cause = symmetry.cause(evidence.orientation);
        if !evidence.knows(cause.code) {
            continue;
        }
        let sample = symmetry.apply(evidence.sample.index_axis(Axis(0), 0)).insert_axis(Axis(0));
        let latents = evidence.vae.encode(sample.view(), None)?.latents;
        let Some(line) = Line::through(&latents, &found) else { continue };
        if line.correlation > 0.95 {
            let title = format!("your latents are those of the picture {name}");
            let finding = Finding::new(cause, title);
            let finding = finding.severity(Severity::Error);
            return Ok(Some(finding.evidence("correlation", line.correlation)));
        }
    }
    Ok(None)
}

/// RMS of the posterior's standard deviation over the spread of the latents.
fn posterior_noise(evidence: &Evidence) -> f64 {
    let Some(std) = &evidence.encoded.std else { return 0.0 };
    let square = std.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>();
    let noise = (square / std.len().max(1) as f64).sqrt();
    noise / spread(&evidence.encoded.latents).max(1e-12)
}

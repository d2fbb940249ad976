//! Latents of which each channel is normalised by its mean and standard deviation, out of the config: the
//! user's of Wan and Qwen-Image beside the expected ones, and what else becomes of such latents.

use ndarray::{Array4, Axis};

use super::super::affine::Affine;
use super::super::codes::Cause;
use super::super::compared::Judged;
use super::super::evidence::{Evidence, LatentsScale};
use super::super::finding::Finding;
use super::super::fit::{Line, rms_difference, spread};
use super::super::scaling::{LATENT_STATS_IGNORED, known_factors};
use super::noise::posterior_noise;
use super::search::ROUNDING;
use super::values::finite;
use vae_fidelity_core::config::{Class, Family};
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::scaling::PerChannel;
use vae_fidelity_files::error::Result;

/// Latents that are this much nearer to a wrong treatment than to the right one were treated so.
const NEARER: f64 = 0.5;
/// Values of a channel that a line of its own has to explain.
const ENOUGH: usize = 8;
/// A line for each channel that leaves this much of what one for all does is no chance.
const BY_CHANNEL: f64 = 0.1;
/// A factor this near to 1 is none, and this near to a known one is that.
const FACTOR: f64 = 0.02;

type Treated = (&'static Cause, String, Array4<f32>);

/// What is wrong with finite latents of the expected shape.
pub(super) fn judged(
    evidence: &Evidence,
    rule: &PerChannel,
    found: &Array4<f32>,
) -> Result<Judged> {
    if let Some(finding) = evidence.known(explained(evidence, rule, found)?) {
        return Ok(finding.into());
    }
    // What else there is to find is looked for in latents as the model makes them.
    let as_made = match evidence.files.latents_scale {
        LatentsScale::Scaled => rule.unscale(found.view(), Dtype::F32)?,
        LatentsScale::Raw => found.clone(),
    };
    let affine = Affine::of(evidence.vae.config(), LatentsScale::Raw);
    finite(evidence, &affine, &as_made)
}

/// What was done otherwise to the latents, where that is what `found` shows.
fn explained(
    evidence: &Evidence,
    rule: &PerChannel,
    found: &Array4<f32>,
) -> Result<Option<Finding>> {
    let (raw, scale) = (&evidence.encoded.latents, evidence.files.latents_scale);
    let normalised = rule.scale(raw.view(), Dtype::F32)?;
    let expected = match scale {
        LatentsScale::Scaled => &normalised,
        LatentsScale::Raw => raw,
    };
    let size = spread(found);
    let before = rms_difference(expected, found);
    if before <= ROUNDING * size {
        return Ok(None);
    }
    let mut tried = vec![];
    match scale {
        LatentsScale::Raw => tried.push((
            "your latents are normalised by latents_mean and latents_std, and are called raw"
                .to_owned(),
            normalised.clone(),
        )),
        LatentsScale::Scaled => {
            tried.push((
                "your latents are as the model makes them, not normalised by the config's latents_mean and \
                 latents_std; `latents_scale` raw compares them as that"
                    .to_owned(),
                raw.clone(),
            ));
            tried.push((
                "your latents are normalised by latents_mean and latents_std twice".to_owned(),
                rule.scale(normalised.view(), Dtype::F32)?,
            ));
            tried.push((
                "latents_mean and latents_std were applied the wrong way round: z * std + mean"
                    .to_owned(),
                rule.unscale(raw.view(), Dtype::F32)?,
            ));
            tried.push((
                "latents_mean was subtracted, and nothing divided by latents_std".to_owned(),
                by_channel(rule, raw, |z, mean, _| z - mean),
            ));
            tried.push((
                "your latents were divided by latents_std, and latents_mean was not subtracted"
                    .to_owned(),
                by_channel(rule, raw, |z, _, std| z / std),
            ));
            for (family, other) in others(rule) {
                tried.push((
                    format!(
                        "your latents are normalised by {family}'s statistics, not by the config's"
                    ),
                    other.scale(raw.view(), Dtype::F32)?,
                ));
            }
            tried.extend(multiplied(evidence, raw, &normalised, found));
        }
    }
    let offered = tried.into_iter().map(|(title, candidate)| {
        let left = rms_difference(&candidate, found);
        (left, title)
    });
    let allowed = ROUNDING.max((2.0 * posterior_noise(evidence)).min(0.5)) * size;
    let nearest = offered.min_by(|a, b| a.0.total_cmp(&b.0));
    if let Some((left, title)) = nearest
        && left <= allowed
        && left <= NEARER * before
    {
        return Ok(Some(
            Finding::new(&LATENT_STATS_IGNORED, title)
                .evidence("relative_difference", before / size)
                .evidence("relative_difference_explained", left / size)
                .evidence("latents_scale", scale.name()),
        ));
    }
    Ok(by_other_numbers(raw, found))
}

/// Latents that are one number times what they may be, and that number in words.
fn multiplied(
    evidence: &Evidence,
    raw: &Array4<f32>,
    normalised: &Array4<f32>,
    found: &Array4<f32>,
) -> Vec<(String, Array4<f32>)> {
    let times = |latents: &Array4<f32>| {
        let squares: f64 = latents.iter().map(|&z| f64::from(z).powi(2)).sum();
        let pairs = latents.iter().zip(found);
        let along: f64 = pairs.map(|(&z, &found)| f64::from(z) * f64::from(found)).sum();
        Some(along / squares).filter(|k| *k > 0.0 && k.is_finite() && (k - 1.0).abs() > FACTOR)
    };
    let mut tried = Vec::new();
    let by = |latents: &Array4<f32>, k: f64| latents.mapv(|z| z * k as f32);
    if let Some(k) = times(raw) {
        let affine = Affine::of(evidence.vae.config(), LatentsScale::Scaled);
        let known = known_factors(&affine).into_iter();
        let near = |factor: &f64| (k / factor - 1.0).abs() <= FACTOR;
        let title = match known
            .filter(|(factor, _)| *factor != 1.0)
            .find(|(factor, _)| near(factor))
        {
            Some((_, what)) => {
                format!("your latents {what}, not normalised by latents_mean and latents_std")
            }
            None => format!(
                "your latents are multiplied by {k:.5}, not normalised by latents_mean and latents_std"
            ),
        };
        tried.push((title, by(raw, k)));
    }
    if let Some(k) = times(normalised) {
        let title = format!(
            "your latents are {k:.4} times as large as latents_mean and latents_std make them"
        );
        tried.push((title, by(normalised, k)));
    }
    tried
}

/// Latents of which every channel is a line of the expected one, by numbers that nobody published.
fn by_other_numbers(raw: &Array4<f32>, found: &Array4<f32>) -> Option<Finding> {
    let (n, channels, height, width) = raw.dim();
    if n * height * width < ENOUGH {
        return None;
    }
    let lines: Vec<Line> = (0..channels)
        .map(|channel| {
            let of = |latents: &Array4<f32>| latents.index_axis(Axis(1), channel).to_owned();
            Line::through(&of(raw), &of(found))
        })
        .collect::<Option<_>>()?;
    let whole = Line::through(raw, found)?;
    let straight = |line: &Line| line.slope > 0.0 && line.residual <= ROUNDING * line.spread[1];
    let squares: f64 = lines.iter().map(|line| line.residual.powi(2)).sum();
    let left = (squares / channels.max(1) as f64).sqrt();
    (lines.iter().all(straight) && left <= BY_CHANNEL * whole.residual).then(|| {
        let title = "your latents are normalised channel by channel, by other numbers than the config's \
                     latents_mean and latents_std";
        let means: Vec<f64> = lines.iter().map(|line| -line.offset / line.slope).collect();
        let deviations: Vec<f64> = lines.iter().map(|line| 1.0 / line.slope).collect();
        Finding::new(&LATENT_STATS_IGNORED, title)
            .evidence("mean_found", means)
            .evidence("std_found", deviations)
            .evidence("relative_residual", left / whole.spread[1])
    })
}

/// The statistics of other families, as many as there are channels.
fn others(rule: &PerChannel) -> Vec<(Family, PerChannel)> {
    let channels = rule.mean.len();
    let of = |family: Family| {
        let (mean, std) = family.wan_statistics()?;
        let other = PerChannel {
            mean: mean.get(..channels)?.to_vec(),
            std: std.get(..channels)?.to_vec(),
            form: rule.form,
        };
        (other != *rule).then_some((family, other))
    };
    [Family::Wan21, Family::Wan22].into_iter().filter_map(of).collect()
}

/// `f` of each value, with mean and standard deviation of its channel.
fn by_channel(
    rule: &PerChannel,
    latents: &Array4<f32>,
    f: impl Fn(f32, f32, f32) -> f32,
) -> Array4<f32> {
    let mut changed = latents.clone();
    let statistics = rule.mean.iter().zip(&rule.std);
    for (mut channel, (&mean, &std)) in changed.axis_iter_mut(Axis(1)).zip(statistics) {
        channel.mapv_inplace(|z| f(z, mean as f32, std as f32));
    }
    changed
}

/// The picture's latents, treated otherwise between the two halves: cause, words, and what is decoded.
pub(in super::super) fn treated_otherwise(
    rule: &PerChannel,
    class: Class,
    raw: &Array4<f32>,
) -> Result<Vec<Treated>> {
    let normalised = rule.scale(raw.view(), Dtype::F32)?;
    let mut treated = vec![
        (
            "decoded from latents that latents_mean and latents_std were not taken back from".to_owned(),
            normalised.clone(),
        ),
        (
            "decoded from latents that latents_mean and latents_std were taken back from twice, or that were \
             never normalised"
                .to_owned(),
            rule.unscale(raw.view(), Dtype::F32)?,
        ),
        (
            "decoded from latents that latents_mean was not added back to".to_owned(),
            by_channel(rule, raw, |z, mean, _| z - mean),
        ),
        (
            "decoded from latents that were not multiplied by latents_std again".to_owned(),
            by_channel(rule, &normalised, |z, mean, _| z + mean),
        ),
    ];
    let others = if class.is_of_clips() { others(rule) } else { Vec::new() };
    for (family, other) in others {
        treated.push((
            format!("decoded from latents that {family}'s statistics were taken back from, not the config's"),
            other.unscale(normalised.view(), Dtype::F32)?,
        ));
        let normalised_so = other.scale(raw.view(), Dtype::F32)?;
        treated.push((
            format!("decoded from latents that were normalised by {family}'s statistics, not the config's"),
            rule.unscale(normalised_so.view(), Dtype::F32)?,
        ));
    }
    Ok(with_cause(treated))
}

/// What may have been done to latents without their picture: cause, words, and the latents without it.
pub(in super::super) fn undone(
    rule: &PerChannel,
    scale: LatentsScale,
    given: &Array4<f32>,
) -> Result<Vec<Treated>> {
    let once = rule.unscale(given.view(), Dtype::F32)?;
    if scale == LatentsScale::Raw {
        let what = "are normalised by latents_mean and latents_std, and are called raw";
        return Ok(with_cause([(what.to_owned(), once)]));
    }
    let mut undone = vec![
        (
            "are not normalised by the config's latents_mean and latents_std".to_owned(),
            given.clone(),
        ),
        (
            "are normalised by latents_mean and latents_std twice".to_owned(),
            rule.unscale(once.view(), Dtype::F32)?,
        ),
        (
            "have latents_mean and latents_std the wrong way round: z * std + mean".to_owned(),
            rule.scale(given.view(), Dtype::F32)?,
        ),
    ];
    for (family, other) in others(rule) {
        let what = format!("are normalised by {family}'s statistics, not by the config's");
        undone.push((what, other.unscale(given.view(), Dtype::F32)?));
    }
    Ok(with_cause(undone))
}

fn with_cause(all: impl IntoIterator<Item = (String, Array4<f32>)>) -> Vec<Treated> {
    all.into_iter().map(|(what, latents)| (&LATENT_STATS_IGNORED, what, latents)).collect()
}

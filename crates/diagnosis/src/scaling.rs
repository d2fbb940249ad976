//! Lines between raw latents and the user's: factor, shift, and per-channel statistics.

use ndarray::{Array4, Axis};

use super::affine::Affine;
use super::codes::{Cause, Code};
use super::decided_by::DecidedBy;
use super::evidence::LatentsScale;
use super::finding::Finding;
use super::fit::{Line, mean_square};
use super::latents_differ::LATENTS_DIFFER;
use super::severity::Severity;
use vae_fidelity_core::config::Family;
use vae_fidelity_core::dtype::Dtype;
use vae_fidelity_core::scaling::{PatchedBatchNorm, Scaling, patched, unpatched};
use vae_fidelity_core::vae::Vae;
use vae_fidelity_files::error::Result;

pub(super) const SCALING_FACTOR_MISMATCH: Cause = Cause {
    code: Code::ScalingFactorMismatch,
    severity: Severity::Error,
    title: "latents were scaled by another model's factor",
    meaning: "Each family multiplies its latents by its own number so that they have a spread \
              of about 1. With another's, the picture is hazy and washed out, or harsh. A \
              round trip cannot show it: the factor cancels.",
    rule: "Your latents are k times the expected ones, |k - 1| > 2 %, with a small residual \
           (cosine above 0.99); k is looked up among the families. Or your picture matches \
           what latents scaled by another family's factor decode to. Without files of yours: \
           the spread of the scaled latents of a natural picture lies outside 0.33 to 3, and \
           then it is a warning. decode, which has no original, finds the factor by which latents \
           have to be divided so that their picture encodes to them again.",
    remedy: "scale with the scaling_factor of this VAE's own config",
    diffusers: "latents * vae.config.scaling_factor after encode, / before decode; with a \
                single file pass its config: it defaults to Stable Diffusion 1.5's",
    comfyui: "the loader picks the factor with the model: use the VAE of the checkpoint's own \
              family",
    ports: "read scaling_factor from vae/config.json; 0.18215 for Stable Diffusion 1 and 2, \
            0.13025 for SDXL, 1.5305 for SD3, 0.3611 for FLUX.1",
    sources: &["huggingface/diffusers#6923", "huggingface/diffusers#6753"],
    decided_by: &[DecidedBy::Latents, DecidedBy::DecodedImage, DecidedBy::Check],
};

pub(super) const SHIFT_FACTOR_DROPPED: Cause = Cause {
    code: Code::ShiftFactorDropped,
    severity: Severity::Warning,
    title: "latents lack the shift that the config asks for",
    meaning: "SD3 and FLUX.1 subtract shift_factor before scaling. Without it the colours have \
              a slight cast. The script this tool is measured against leaves it out as well, \
              so it is a warning; a shift of the wrong sign is an error.",
    rule: "The mean difference between your latents and the expected ones is the shift (within \
           20 %), and the spread of that difference is much smaller.",
    remedy: "subtract shift_factor before scaling, and add it after unscaling",
    diffusers: "(z - vae.config.shift_factor) * vae.config.scaling_factor, and \
                z / scaling_factor + shift_factor before decode",
    comfyui: "process_in and process_out of the model's latent format do it",
    ports: "(z - shift) * scale in, z / scale + shift out",
    sources: &["huggingface/diffusers#8887", "huggingface/diffusers#13611"],
    decided_by: &[DecidedBy::Latents, DecidedBy::DecodedImage],
};

pub(super) const LATENT_STATS_IGNORED: Cause = Cause {
    code: Code::LatentStatsIgnored,
    severity: Severity::Error,
    title: "latents were not normalised with the config's latents_mean and latents_std, or twice",
    meaning: "Playground v2.5, Wan, Qwen-Image and others normalise each latent channel by its own \
              mean and spread. Without it, or with it twice, pictures are nearly black, washed out or \
              too harsh, and a round trip does not show it.",
    rule: "The config has latents_mean and latents_std, and per channel your latents follow \
           from the plain scaled ones, not from the normalised ones. Of Wan and Qwen-Image also: from \
           them twice, the wrong way round, with only one of the two, with another family's, or by other \
           numbers for each channel; or your picture is what latents so treated decode to. decode, which \
           has no original, finds the treatment without which the latents' own picture encodes to \
           them again.",
    remedy: "use (z - latents_mean) * scaling_factor / latents_std once, per channel; Wan and Qwen-Image \
             have no factor",
    diffusers: "(z - mean) * scaling_factor / std after encode, z * std / scaling_factor + \
                mean before decode, as the SDXL pipeline does; the Wan and Qwen-Image pipelines do it \
                by themselves",
    comfyui: "use the model's own latent format (SDXL_Playground_2_5, Wan21, Wan22, QwenImage21)",
    ports: "read latents_mean and latents_std of vae/config.json, one value a channel: Wan 2.2 of 5 B \
            parameters has 48, Qwen-Image 2.1 has 64, all other Wan models and Qwen-Image have Wan 2.1's \
            16",
    sources: &["huggingface/diffusers#7111"],
    decided_by: &[DecidedBy::Latents, DecidedBy::DecodedImage],
};

/// A factor this far off is another factor.
const FACTOR: f64 = 0.02;
/// A factor this near is the one.
const KNOWN: f64 = 0.01;
/// What a line may leave of a channel's spread, and in standard deviations of the posterior: to be one, and
/// to be the expected one, a draw's included.
const STRAIGHT: [f64; 2] = [0.1, 3.0];
const SAME: [f64; 2] = [0.02, 2.0];
/// What a line for each channel may leave of what one for all does, where channels were normalised: 10 dB.
const BY_CHANNEL: f64 = 0.3;
/// Shifts agree within this share of the shift.
const SHIFT: f64 = 0.25;

/// An offset beside a wrong factor is worth a word from this share of the spread on.
const OFFSET: f64 = 0.05;

/// The user's latents as the model makes them: what pipelines do before they decode, in f32.
pub(super) fn unscaled(
    vae: &dyn Vae,
    scale: LatentsScale,
    mut latents: Array4<f32>,
) -> Result<Array4<f32>> {
    if let Scaling::PatchedBatchNorm(rule) = vae.scaling()? {
        return as_made(&rule, scale, latents);
    }
    let config = vae.config();
    match (scale, config.scaling_factor(), config.latents_statistics()) {
        (LatentsScale::Raw, ..) => {}
        (LatentsScale::Scaled, None, _) => {
            return vae.scaling()?.unscale(latents.view(), Dtype::F32);
        }
        (LatentsScale::Scaled, Some(factor), Some((mean, std))) => {
            for (channel, mut values) in latents.axis_iter_mut(Axis(1)).enumerate() {
                let scale = (std[channel] / factor) as f32;
                values.mapv_inplace(|z| z * scale + mean[channel] as f32);
            }
        }
        (LatentsScale::Scaled, Some(factor), None) => {
            let shift = config.shift_factor().unwrap_or(0.0) as f32;
            latents.mapv_inplace(|z| z / factor as f32 + shift);
        }
    }
    Ok(latents)
}

/// The user's latents in patches or not, as the model makes them: what pipelines do before they decode.
fn as_made(
    rule: &PatchedBatchNorm,
    scale: LatentsScale,
    given: Array4<f32>,
) -> Result<Array4<f32>> {
    match (scale, given.dim().1 == rule.mean.len()) {
        (LatentsScale::Scaled, true) => rule.unscale(given.view(), Dtype::F32),
        (LatentsScale::Scaled, false) => {
            let patches = patched(given.view(), rule.patch_size)?;
            unpatched(rule.denormalised(&patches, Dtype::F32), rule.patch_size)
        }
        (LatentsScale::Raw, true) => unpatched(given, rule.patch_size),
        (LatentsScale::Raw, false) => Ok(given),
    }
}

/// What is wrong with a line from the expected raw latents to the user's.
pub(super) fn line(affine: &Affine, line: &Line) -> Vec<Finding> {
    let k = line.slope / affine.factor;
    // Draws from a wide posterior leave the slope uncertain.
    let uncertain = 3.0 * line.slope_error / affine.factor.abs();
    if (k - 1.0).abs() > FACTOR + uncertain {
        return vec![wrong_factor(affine, line, k)];
    }
    let expected = -affine.shift * affine.factor;
    let offset = line.offset;
    let unit = expected.abs();
    let near = |value: f64| (offset - value).abs() <= SHIFT * unit;
    if unit == 0.0 {
        // Rounding leaves far less than this.
        if offset.abs() <= 0.03 * line.spread[1] {
            return Vec::new();
        }
        let title = format!(
            "your latents are shifted by {:.4}, and the config has no shift_factor",
            -offset / affine.factor
        );
        let remedy = "leave the shift out: this VAE has none";
        return vec![shift_finding(title, line, affine).severity(Severity::Error).remedy(remedy)];
    }
    let shift = affine.shift;
    let finding = if near(expected) {
        return Vec::new();
    } else if near(0.0) {
        shift_finding(
            format!(
                "your latents lack the shift of {shift}, as the gist's do; pipelines subtract it"
            ),
            line,
            affine,
        )
    } else if near(-expected) {
        shift_finding(format!("the shift of {shift} was added, not subtracted"), line, affine)
            .severity(Severity::Error)
    } else if near(2.0 * expected) {
        shift_finding(format!("the shift of {shift} was subtracted twice"), line, affine)
            .severity(Severity::Error)
    } else {
        shift_finding(
            format!("your latents are shifted by {:.4}, expected {shift}", -offset / affine.factor),
            line,
            affine,
        )
    };
    vec![finding]
}

fn shift_finding(title: String, line: &Line, affine: &Affine) -> Finding {
    Finding::new(&SHIFT_FACTOR_DROPPED, title)
        .evidence("offset", line.offset)
        .evidence("expected_offset", -affine.shift * affine.factor)
        .evidence("shift_factor", affine.shift)
        .evidence("relative_residual", line.residual / line.spread[1])
}

/// Factors by which latents may have been multiplied, and what that was, in words.
pub(super) fn known_factors(affine: &Affine) -> Vec<(f64, String)> {
    let (own, raw) = (affine.scaling_factor, affine.scale == LatentsScale::Raw);
    let mut known = vec![match raw {
        true => (own, format!("are scaled by {own} already, and are called raw")),
        false => (1.0, "are not scaled at all: they are as the model makes them".into()),
    }];
    known.push((own * own, format!("are scaled twice by {own}")));
    known.push((own.powi(3), format!("are scaled three times by {own}")));
    known.push((1.0 / own, format!("are divided by {own}, not multiplied")));
    known.push((1.0 / (own * own), format!("are divided twice by {own}")));
    known.push((affine.factor / 6.0, "are in TAESD's range for pictures: z / 6 + 0.5".to_owned()));
    // Last, so that a family whose factor is 1 is not taken for the reason.
    let published = Family::PUBLISHED.into_iter();
    known.extend(published.filter_map(|family| {
        let factor = family.scaling_factor()?;
        Some((factor, format!("are scaled by {factor}, {family}'s factor")))
    }));
    known
}

fn wrong_factor(affine: &Affine, line: &Line, k: f64) -> Finding {
    let used = line.slope;
    let known = known_factors(affine);
    let off = |factor: f64| (used.abs() / factor - 1.0).abs();
    let nearest = known.into_iter().min_by(|a, b| off(a.0).total_cmp(&off(b.0)));
    let title = match nearest.filter(|(factor, _)| off(*factor) <= KNOWN) {
        _ if used < 0.0 => format!("your latents have the opposite sign: k is {k:.4}"),
        Some((_, what)) => format!("your latents {what}; expected is {}", affine.factor),
        None => format!("your latents are scaled by {used:.5}, expected is {}", affine.factor),
    };
    // None, and the one that only a wrong factor leaves, are no news.
    let offset = line.offset + affine.shift * used;
    let moved = |offset: f64| offset.abs() > OFFSET * line.spread[1];
    let title = match moved(offset) && moved(line.offset) {
        true => format!("{title}; they are also moved by {offset:+.4}"),
        false => title,
    };
    Finding::new(&SCALING_FACTOR_MISMATCH, title)
        .evidence("k", k)
        .evidence("factor_found", used)
        .evidence("offset_found", line.offset)
        .evidence("factor_expected", affine.factor)
        .evidence("latents_scale", affine.scale.name())
        .evidence("relative_residual", line.residual / line.spread[1])
}

/// `latent-stats-ignored`, from a line for each channel; `None` where a channel is no line, and an empty
/// list where all is as the config asks. `std` is the posterior's, of `expected`'s shape.
pub(super) fn per_channel(
    affine: &Affine,
    expected: &Array4<f32>,
    found: &Array4<f32>,
    std: Option<&Array4<f32>>,
) -> Option<Vec<Finding>> {
    let channels = expected.dim().1;
    let lines: Vec<Line> = (0..channels)
        .map(|channel| {
            let side = |tensor: &Array4<f32>| tensor.index_axis(Axis(1), channel).to_owned();
            Line::through(&side(expected), &side(found))
        })
        .collect::<Option<_>>()?;
    let whole = Line::through(expected, found)?;
    // A quiet channel may drown in the posterior's noise; one that it leaves alone has to be a line.
    let left = |(channel, line): (usize, &Line), [share, draws]: [f64; 2]| {
        let squares = std.map_or(0.0, |std| mean_square(std.index_axis(Axis(1), channel).iter()));
        let noise = squares.sqrt() / line.spread[0].max(1e-12);
        line.residual <= share.max(draws * noise) * line.spread[1]
    };
    let leave = |room: [f64; 2]| lines.iter().enumerate().all(|of| left(of, room));
    if !leave(STRAIGHT) {
        return None;
    }
    let values = (expected.len() / channels.max(1)) as f64;
    let matches = |wanted: &dyn Fn(usize) -> (f64, f64)| {
        let near = |(channel, line): (usize, &Line)| {
            let (slope, offset) = wanted(channel);
            let at_mean = slope * line.mean[0] + offset;
            let [uncertain, of_mean] =
                [line.slope_error / slope.abs(), line.residual / values.sqrt()].map(|by| 3.0 * by);
            (line.slope / slope - 1.0).abs() <= 0.05 + uncertain
                && (line.mean[1] - at_mean).abs() <= 0.05 * line.spread[1].max(1e-9) + of_mean
        };
        lines.iter().enumerate().all(near)
    };
    let slopes: Vec<f64> = lines.iter().map(|line| line.slope).collect();
    let offsets: Vec<f64> = lines.iter().map(|line| line.offset).collect();
    let finding = |title: String| {
        Finding::new(&LATENT_STATS_IGNORED, title)
            .evidence("slopes", &slopes)
            .evidence("offsets", &offsets)
            .evidence("relative_residual", whole.residual / whole.spread[1])
    };
    let factor = affine.scaling_factor;
    if let Some(statistics) = &affine.statistics {
        let wanted = |channel: usize| {
            let (mean, std) = statistics[channel];
            (factor / std, -mean * factor / std)
        };
        if matches(&wanted) {
            // What is off by more than another run has a cause of its own.
            return leave(SAME).then(Vec::new);
        }
        let without_factor = |channel: usize| {
            let (mean, std) = statistics[channel];
            (1.0 / std, -mean / std)
        };
        if matches(&without_factor) {
            let title = "your latents are normalised by latents_mean and latents_std, and not \
                         multiplied by scaling_factor";
            return Some(vec![
                Finding::new(&SCALING_FACTOR_MISMATCH, title)
                    .evidence("factor_found", 1.0)
                    .evidence("factor_expected", factor),
            ]);
        }
        let plain = |_| (factor, 0.0);
        let raw = |_| (1.0, 0.0);
        if matches(&plain) || matches(&raw) {
            let title = "your latents are not normalised by the config's latents_mean and \
                         latents_std, as the gist's are not; pipelines do it";
            return Some(vec![finding(title.to_owned())]);
        }
        return None;
    }
    // A line for each channel has to do what one for all does not: noise is no line either way.
    let squares: f64 = lines.iter().map(|line| line.residual.powi(2)).sum();
    let by_channel = (squares / channels.max(1) as f64).sqrt();
    let one_line = whole.residual <= 0.1 * whole.spread[1];
    if by_channel > BY_CHANNEL * whole.residual {
        return None;
    }
    // One factor for all channels and each about its own mean is not what a mean and a spread for each make.
    let factor = slopes.iter().sum::<f64>() / channels as f64;
    let same_slope = slopes.iter().all(|slope| (slope / factor - 1.0).abs() <= 0.05);
    let about_means = lines.iter().all(|line| {
        let expected = (line.mean[0] - affine.shift) * affine.factor;
        (line.mean[1] - expected).abs() <= 0.05 * line.spread[1].max(1e-9)
    });
    let by = factor / affine.factor;
    if same_slope && about_means && (by - 1.0).abs() > FACTOR {
        let title =
            format!("your latents are spread {by:.3} times as far about each channel's own mean");
        let remedy = "leave out what spreads them: a factor moves the means too";
        return Some(vec![
            Finding::new(&LATENTS_DIFFER, title)
                .evidence("factor", by)
                .evidence("slopes", &slopes)
                .evidence("offsets", &offsets)
                .remedy(remedy),
        ]);
    }
    if one_line {
        return None;
    }
    let (least, most) = bounds(&slopes);
    let (lowest, highest) = bounds(&offsets);
    let title = format!(
        "your latents have a line of their own in each channel, times {least:.4} to {most:.4} and \
         {lowest:+.4} to {highest:+.4}, as normalisation per channel makes them, and the config has \
         neither latents_mean nor latents_std"
    );
    Some(vec![finding(title)])
}

fn bounds(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| {
        (least.min(*value), most.max(*value))
    })
}

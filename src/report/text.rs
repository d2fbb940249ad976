//! Reports for a reader in front of a terminal: one line a fact, with ANSI styles that the caller
//! strips where nobody would see them.

use std::fmt::{self, Display, Write};

use super::check::{CheckReport, CheckSummary, Forecast, Headroom, Input, Model};
use super::clip_text::clip_lines;
use super::lines::{
    BAD, FAINT, GOOD, WARNING, decoded_line, in_numbers, line, number, saved_lines, tuple,
};
use crate::config::PublishedQuality;
use crate::diagnosis::{ComparedFile, DecidedBy, Finding, NotDecided, Place, Severity, UserFile};
use crate::metrics::{AlphaMetrics, PixelMetrics};
use crate::printable::{printable, shown};
use crate::scaling::Scaling;
use crate::verdict::{Thresholds, Verdict};

impl Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        input_line(f, &self.input)?;
        model_line(f, &self.model)?;
        let taken = match self.posterior.seed {
            Some(seed) => format!(", drawn with seed {seed}"),
            None => String::new(),
        };
        let latents = &self.latents;
        let statistics = &latents.statistics;
        line(
            f,
            "latents",
            format_args!(
                "{} {}{taken}; {}",
                tuple(&latents.shape),
                scaled(&latents.scaling),
                in_numbers(statistics),
            ),
        )?;
        let decoded = &self.decoded;
        decoded_line(f, decoded)?;
        saved_lines(f, decoded.path.as_deref(), &self.saved)?;
        if let Some(metrics) = &self.metrics {
            pixel_lines(f, metrics, &self.thresholds)?;
            if let Some(alpha) = &self.alpha {
                alpha_line(f, alpha)?;
            }
            published_lines(f, self.published)?;
        }
        if let Some(clip) = &self.clip {
            clip_lines(f, clip)?;
        }
        if let Some(forecast) = &self.forecast {
            forecast_lines(f, forecast)?;
        }
        if let Some(compared) = &self.cross_check {
            line(f, "compared", compared)?;
        }
        file_lines(f, &self.files)?;
        finding_lines(f, &self.findings)?;
        // Without a file of the user's there is no question that these would answer.
        let open = |by: &DecidedBy| self.not_decided.iter().any(|row| row.needs == *by);
        if DecidedBy::ALL.iter().filter(|by| by.is_file()).any(|by| !open(by)) {
            for NotDecided { codes, needs } in &self.not_decided {
                let codes: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
                let codes = codes.join(", ");
                let needs = needs.parameter().unwrap_or_default();
                line(f, "", format_args!("{FAINT}not decided without {needs}: {codes}{FAINT:#}"))?;
            }
        }
        verdict_lines(f, self.verdict, &self.verdict_reasons, &self.findings)
    }
}

impl Display for CheckSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { images, passed, failed, not_judged } = self;
        let style = if passed == images { GOOD } else { BAD };
        write!(
            f,
            "{style}{images} images: {passed} passed, {failed} failed, {not_judged} not judged{style:#}"
        )
    }
}

/// Each of the user's files: how far off it is, and where most.
pub(super) fn file_lines(f: &mut fmt::Formatter<'_>, files: &[ComparedFile]) -> fmt::Result {
    for file in files {
        let of_255 = if file.file == UserFile::DecodedImage { " of 255" } else { "" };
        let mut text = format!("`{}`: {}", file.file.name(), file.summary);
        if let (Some(mean), Some(largest), Some(at)) =
            (file.mean_difference, file.largest_difference, file.largest_at)
        {
            let (mean, largest) = (number(Some(mean)), number(Some(largest)));
            let Place { channel, y, x } = at;
            write!(
                text,
                " (mean difference {mean}{of_255}, largest {largest} at x {x} y {y}, channel {channel})"
            )?;
        }
        line(f, "yours", text)?;
    }
    Ok(())
}

fn forecast_lines(f: &mut fmt::Formatter<'_>, forecast: &Forecast) -> fmt::Result {
    for dtype in &forecast.dtypes {
        let name = dtype.dtype.to_string();
        match (dtype.non_finite, dtype.psnr_from_f32_db, dtype.psnr_cost_db) {
            (0, Some(psnr), Some(cost)) => {
                line(f, &name, format_args!("would lie {psnr:.1} dB from f32; {}", priced(cost)))?
            }
            (0, ..) => line(f, &name, "would give the same picture as f32")?,
            (count, ..) => line(
                f,
                &name,
                format_args!("{BAD}would decode {count} values that are NaN or infinite{BAD:#}"),
            )?,
        }
    }
    let Some(tightest) = forecast.tightest.first() else { return Ok(()) };
    let Headroom { module, largest, headroom } = tightest;
    line(f, "f16", format_args!("has room for {headroom:.3} times {module}'s {largest:.1}"))
}

/// What half precision costs, in words: its rounding may as well bring the picture nearer.
fn priced(cost: f64) -> String {
    match cost.abs() {
        small if small < 5e-4 => "PSNR stays what it is".to_owned(),
        by if cost > 0.0 => format!("PSNR would be {by:.3} dB lower"),
        by => format!("PSNR would be {by:.3} dB higher"),
    }
}

pub(super) fn pixel_lines(
    f: &mut fmt::Formatter<'_>,
    metrics: &PixelMetrics,
    thresholds: &Thresholds,
) -> fmt::Result {
    let asked = |least: Option<f64>, unit| {
        least.map(|least| format!(" (at least {least}{unit} asked for)")).unwrap_or_default()
    };
    let psnr = match metrics.psnr_db {
        Some(psnr) => format!("{psnr:.2} dB"),
        None => "infinite: every byte is the same".to_owned(),
    };
    line(f, "PSNR", format_args!("{psnr}{}", asked(thresholds.min_psnr, " dB")))?;
    let ssim = match metrics.ssim {
        Some(ssim) => format!("{ssim:.4}"),
        None => "not defined under 11 x 11 pixels".to_owned(),
    };
    line(f, "SSIM", format_args!("{ssim}{}", asked(thresholds.min_ssim, "")))?;
    let ms_ssim = match metrics.ms_ssim {
        Some(ms_ssim) => Some(format!("{ms_ssim:.4}")),
        // Nobody misses it in a small picture, but who asked is told.
        None => thresholds.min_ms_ssim.map(|_| "not defined under 176 x 176 pixels".to_owned()),
    };
    if let Some(ms_ssim) = ms_ssim {
        line(f, "MS-SSIM", format_args!("{ms_ssim}{}", asked(thresholds.min_ms_ssim, "")))?;
    }
    if let Some((ssimulacra2, butteraugli)) = metrics.ssimulacra2.zip(metrics.butteraugli) {
        let grade = grade(ssimulacra2);
        line(
            f,
            "visual",
            format_args!(
                "SSIMULACRA 2 {ssimulacra2:.1} of 100 ({grade}), Butteraugli {butteraugli:.2} (1 is just visible)"
            ),
        )?;
    }
    let Some(at) = metrics.max_abs_diff_at else { return Ok(()) };
    line(
        f,
        "error",
        format_args!(
            "mean {:.3} of 255, largest {} at x {} y {} ({})",
            metrics.mae,
            metrics.max_abs_diff,
            at.x,
            at.y,
            format!("{:?}", at.channel).to_lowercase(),
        ),
    )?;
    let [red, green, blue] = metrics.mean_error;
    line(f, "bias", format_args!("red {red:+.3}, green {green:+.3}, blue {blue:+.3}"))
}

/// What the metrics of colours leave out.
fn alpha_line(f: &mut fmt::Formatter<'_>, alpha: &AlphaMetrics) -> fmt::Result {
    let psnr = match alpha.psnr_db {
        Some(psnr) => format!("PSNR {psnr:.2} dB"),
        None => "every value is the same".to_owned(),
    };
    let source = if alpha.source_is_opaque { ", of an opaque picture" } else { "" };
    let AlphaMetrics { mae, max_abs_diff, mean_error, .. } = alpha;
    line(
        f,
        "alpha",
        format_args!(
            "{psnr}{source}; mean error {mae:.3} of 255, largest {max_abs_diff}, bias {mean_error:+.3}"
        ),
    )
}

/// Faint, and after the numbers of the run: they are context.
fn published_lines(f: &mut fmt::Formatter<'_>, published: &[PublishedQuality]) -> fmt::Result {
    for (at, of) in published.iter().enumerate() {
        let PublishedQuality { vae, psnr_db, psnr_db_spread, ssim, ssim_spread, .. } = of;
        let text = format!("{vae}: {psnr_db} +- {psnr_db_spread} dB, SSIM {ssim} +- {ssim_spread}");
        let name = if at == 0 { "context" } else { "" };
        line(f, name, format_args!("{FAINT}{text}{FAINT:#}"))?;
    }
    let Some(PublishedQuality { pictures, source, .. }) = published.first() else {
        return Ok(());
    };
    line(
        f,
        "",
        format_args!("{FAINT}published for {pictures} ({source}); decides nothing{FAINT:#}"),
    )
}

/// What SSIMULACRA 2's authors call a score.
pub(super) fn grade(ssimulacra2: f64) -> &'static str {
    match ssimulacra2 {
        score if score >= 90.0 => "as good as lossless",
        score if score >= 70.0 => "high quality",
        score if score >= 50.0 => "medium quality",
        score if score >= 30.0 => "low quality",
        _ => "very low quality",
    }
}

/// The picture: where it lies, its format, and its size before and after.
pub(super) fn input_line(f: &mut fmt::Formatter<'_>, input: &Input) -> fmt::Result {
    let mut size = format!("{} x {}", input.source_width, input.source_height);
    if (input.width, input.height) != (input.source_width, input.source_height) {
        write!(size, ", resized to {} x {}", input.width, input.height)?;
    }
    if let Some(orientation) = input.exif_applied {
        write!(size, ", turned by EXIF orientation {orientation}")?;
    }
    let path = shown(input.path.display());
    line(f, "image", format_args!("{path} ({} {}, {size})", input.format, input.mode))
}

/// The VAE, and how it ran.
pub(super) fn model_line(f: &mut fmt::Formatter<'_>, model: &Model) -> fmt::Result {
    let commit = model.revision.as_deref().and_then(|commit| commit.get(..12));
    let at = commit.map(|commit| format!(" at {commit}")).unwrap_or_default();
    let tiles = match model.splitting.tiling {
        Some(tiling) => format!(", in tiles of {}", tiling.tile_sample_min_size()),
        None => String::new(),
    };
    line(
        f,
        "model",
        format_args!(
            "{}{at} ({}, {} family, {} parameters), {} on {}, {} engine{tiles}",
            printable(&model.source),
            model.class.name(),
            model.family,
            model.parameters,
            model.dtype,
            model.device,
            model.engine
        ),
    )
}

/// What was found, each with its remedy.
pub(super) fn finding_lines(f: &mut fmt::Formatter<'_>, findings: &[Finding]) -> fmt::Result {
    for finding in findings {
        let (style, word) = match finding.severity {
            Severity::Error => (BAD, "error"),
            Severity::Warning => (WARNING, "warning"),
            Severity::Info => (FAINT, "info"),
        };
        let layer = finding.layer.as_ref().map(|layer| format!(" (at {layer})"));
        let found = format!("{}: {}{}", finding.code, finding.title, layer.unwrap_or_default());
        line(f, word, format_args!("{style}{}{style:#}", printable(&found)))?;
        line(f, "", printable(&finding.remedy))?;
        line(f, "", format_args!("{FAINT}more: vae-fidelity explain {}{FAINT:#}", finding.code))?;
    }
    Ok(())
}

/// `findings` as reports show them, a line or more each.
pub fn findings_text(findings: &[Finding]) -> String {
    struct Lines<'a>(&'a [Finding]);
    impl Display for Lines<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            finding_lines(f, self.0)
        }
    }
    Lines(findings).to_string()
}

pub(super) fn verdict_lines(
    f: &mut fmt::Formatter<'_>,
    verdict: Verdict,
    reasons: &[String],
    findings: &[Finding],
) -> fmt::Result {
    let (style, word) = match verdict {
        Verdict::Pass => (GOOD, "pass"),
        Verdict::Fail => (BAD, "fail"),
    };
    let warned = findings.iter().filter(|finding| finding.severity == Severity::Warning).count();
    let warnings = match (verdict, warned) {
        (Verdict::Fail, _) | (_, 0) => String::new(),
        (_, 1) => ", with a warning".to_owned(),
        (_, count) => format!(", with {count} warnings"),
    };
    line(f, "verdict", format_args!("{style}{word}{style:#}{warnings}"))?;
    reasons.iter().try_for_each(|reason| line(f, "", printable(reason)))
}

/// How the model's latents became those that are reported.
fn scaled(scaling: &Scaling) -> String {
    match scaling {
        Scaling::Factor { scaling_factor } => format!("scaled by {scaling_factor}"),
        Scaling::PerChannel(rule) => format!(
            "normalised by the config's latents_mean and latents_std, one each for {} channels",
            rule.mean.len()
        ),
        _ => "patched 2 x 2 and normalised by the checkpoint's statistics (bn)".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Family;

    struct Context(Family);

    impl Display for Context {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            published_lines(f, self.0.published_quality())
        }
    }

    #[test]
    fn context_names_its_numbers_and_their_source() {
        let text = anstream::adapter::strip_str(&Context(Family::Sdxl).to_string()).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "context  SDXL: 24.7 +- 3.9 dB, SSIM 0.73 +- 0.13");
        assert!(lines[1].contains("stabilityai/sdxl-vae") && lines[1].contains("decides nothing"));
        assert_eq!(Context(Family::Unknown).to_string(), "");
    }

    #[test]
    fn grades_are_those_of_their_authors() {
        let of = [95.0, 90.0, 75.0, 55.0, 30.0, 10.0, -40.0].map(grade);
        assert_eq!(of[0], of[1]);
        assert_eq!(
            of[2..],
            [
                "high quality",
                "medium quality",
                "low quality",
                "very low quality",
                "very low quality"
            ]
        );
    }
}

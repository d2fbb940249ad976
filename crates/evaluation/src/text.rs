//! A report as text.

use std::fmt;

use crate::bootstrap::Interval;
use crate::metric::Metric;
use crate::report::{EvaluationReport, Kid, ModelResult, Rfid};
use crate::sha256::short;
use crate::spectrum::Spectrum;
use crate::summary::MetricSummary;

impl fmt::Display for EvaluationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let judged = self.pictures - self.errors;
        let protocol = &self.protocol;
        writeln!(f, "protocol {} ({})", protocol.name, short(&protocol.hash))?;
        write!(f, "pictures {judged} judged of {}", self.pictures)?;
        match self.duplicates.pictures {
            0 => writeln!(f)?,
            count => writeln!(f, ", {count} the same as another, byte for byte")?,
        }
        for (index, model) in self.models.iter().enumerate() {
            writeln!(f)?;
            writeln!(f, "model    {} ({})", model.source, short(&model.weights_sha256))?;
            of_model(f, model)?;
            for other in self.comparisons.iter().filter(|other| other.model == index) {
                let sure = other.confidence.map_or(String::new(), |of| interval(&of, 4));
                let (name, after) = Metric::named(&other.metric)
                    .map_or((other.metric.as_str(), ""), |of| (of.title(), of.after()));
                writeln!(
                    f,
                    "against  {}: {name} {:+.4}{after}{sure}, higher in {:.1} % of {} pictures",
                    self.models[0].source,
                    other.mean_difference,
                    other.higher * 100.0,
                    other.pictures
                )?;
            }
        }
        // What is wrong with a picture is the same for every model.
        let mut errors: Vec<&str> = self.failures.iter().map(|of| of.error.as_str()).collect();
        errors.dedup();
        for error in errors {
            writeln!(f, "unjudged {error}")?;
        }
        for reason in &self.verdict_reasons {
            writeln!(f, "missed   {reason}")?;
        }
        Ok(())
    }
}

fn of_model(f: &mut fmt::Formatter<'_>, model: &ModelResult) -> fmt::Result {
    let metrics = &model.metrics;
    let own = [
        ("error", " of 255", 3, metrics.mae.as_ref()),
        ("worst", " of 255", 1, metrics.max_abs_diff.as_ref()),
    ];
    let of = |metric: Metric| {
        let (name, after) = match metric {
            Metric::Ssimulacra2 => ("", " SSIMULACRA 2"),
            Metric::Butteraugli => ("", " Butteraugli"),
            Metric::Rotation => ("", " dB of turned latents"),
            Metric::Scaling => ("", " dB of halved latents"),
            of => (of.title(), of.after()),
        };
        (name, after, metric.digits(), metrics.summary(metric))
    };
    for (name, after, digits, summary) in Metric::ALL.into_iter().map(of).chain(own) {
        let Some(summary) = summary else { continue };
        let MetricSummary { pictures, mean, std, percentiles, confidence, .. } = summary;
        let sure = confidence.map_or(String::new(), |of| interval(&of, digits));
        let (low, high) = (percentiles.p5, percentiles.p95);
        write!(
            f,
            "{name:<8} {mean:.digits$}{after}{sure}, std {std:.digits$}, 5 % below {low:.digits$}, \
             5 % above {high:.digits$}"
        )?;
        match *pictures == model.judged {
            true => writeln!(f)?,
            false => writeln!(f, ", of {pictures} pictures")?,
        }
    }
    if let Some(Rfid { pictures, value, reference_sha256 }) = &metrics.rfid {
        write!(f, "rFID     {value:.3} of {pictures} pictures")?;
        let against = reference_sha256.as_deref().map(short);
        writeln!(f, "{}", against.map_or(String::new(), |of| format!(" against the file {of}")))?;
    }
    if let Some(Kid { pictures, mean, std }) = metrics.kid {
        writeln!(f, "KID      {mean:.6}, std {std:.6} between subsets of {pictures} pictures")?;
    }
    if let Some((precision, recall)) = metrics.precision.zip(metrics.recall) {
        let (precision, recall) = (precision.value, recall.value);
        writeln!(f, "         precision {precision:.3}, recall {recall:.3}")?;
    }
    if let Some(psnr) = metrics.psnr_of_mean_mse_db.and_then(|of| of.mean) {
        writeln!(f, "         {psnr:.2} dB is the PSNR of the mean squared error")?;
    }
    if let Some(map) = &model.error_map {
        write!(f, "border   {:.3} of 255, root mean squared error", map.border_rmse)?;
        let interior = map.interior_rmse.map(|of| format!(", {of:.3} inside"));
        writeln!(f, "{}", interior.unwrap_or_default())?;
    }
    let Some(latents) = &model.latents else { return Ok(()) };
    write!(f, "latents  mean {:.4}, std {:.4}", latents.mean, latents.std)?;
    write!(f, ", range [{:.4}, {:.4}]", latents.min, latents.max)?;
    if let Some(kl) = latents.kl {
        write!(f, ", KL {kl:.4} nats a value")?;
    }
    writeln!(f)?;
    for (name, of) in
        [("scaling_factor", &latents.scaling_factor), ("shift_factor", &latents.shift_factor)]
    {
        let Some(measured) = of.measured else { continue };
        let sure = of.confidence.map_or(String::new(), |of| interval(&of, 5));
        let config = of.config.map_or("none".to_owned(), |config| config.to_string());
        writeln!(f, "         {name} {measured:.5}{sure} by this data, {config} in the config")?;
    }
    if !latents.dead_channels.is_empty() {
        writeln!(f, "         dead channels: {:?}", latents.dead_channels)?;
    }
    if let Some(Spectrum { input, latents, .. }) = &model.spectrum {
        let [latents, input] = [latents, input].map(|of| 100.0 * Spectrum::upper_half(of));
        writeln!(
            f,
            "         {latents:.2} % of their energy in the upper half of the frequencies, {input:.2} % of \
             the pictures'"
        )?;
    }
    Ok(())
}

fn interval(Interval { low, high }: &Interval, digits: usize) -> String {
    format!(" [{low:.digits$}, {high:.digits$}]")
}

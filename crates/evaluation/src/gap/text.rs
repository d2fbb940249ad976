//! A gap as text.

use std::fmt;

use super::report::{GapReport, MetricGap, ResultName};
use crate::metric::Metric;
use crate::sha256::short;

impl fmt::Display for GapReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "a        {}", self.a)?;
        writeln!(f, "b        {}", self.b)?;
        write!(f, "sample   {} pictures", self.sampled)?;
        match self.left_out {
            0 => writeln!(f)?,
            count => writeln!(f, ", {count} more could not be judged")?,
        }
        for metric in &self.metrics {
            writeln!(f)?;
            of_metric(f, metric)?;
        }
        if self.metrics.is_empty() {
            writeln!(f, "nothing  the two results have no metric in common")?;
        }
        for note in &self.notes {
            writeln!(f, "note     {note}")?;
        }
        for reason in &self.verdict_reasons {
            writeln!(f, "missed   {reason}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ResultName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, hash, model, pictures } = self;
        write!(f, "{model} by {protocol} ({}), {pictures} pictures", short(hash))
    }
}

fn of_metric(f: &mut fmt::Formatter<'_>, of: &MetricGap) -> fmt::Result {
    let metric = Metric::named(&of.metric);
    let (name, unit, digits) = match metric {
        Some(Metric::Psnr) => ("PSNR", " dB", 3),
        Some(metric) => (metric.title(), metric.unit(), metric.digits()),
        None if of.metric == "mae" => ("error", " of 255", 3),
        None => ("LPIPS", "", 4),
    };
    let MetricGap { a, b, gap, .. } = of;
    let after = metric.map_or(unit, Metric::after);
    writeln!(f, "{name:<8} {a:.digits$}{unit} and {b:.digits$}{unit}: {gap:+.digits$}{after}")?;
    for effect in &of.effects {
        let (choice, from, to) = (&effect.choice, &effect.a, &effect.b);
        write!(f, "         {:+.digits$}{unit}  {choice}: {from} to {to}", effect.effect)?;
        let apart = effect.high - effect.low;
        match apart > 0.1 * effect.effect.abs() {
            true => writeln!(f, " ({:+.digits$} to {:+.digits$})", effect.low, effect.high)?,
            false => writeln!(f)?,
        }
    }
    match of.explained_share {
        Some(share) => {
            let percent = 100.0 * share.max(0.0);
            let left = of.not_explained;
            writeln!(f, "         {left:+.digits$}{unit}  left: {percent:.1} % is explained")
        }
        None => writeln!(f, "         no gap to speak of"),
    }
}

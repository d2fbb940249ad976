//! A data set and its models as a page: a table, distributions, latents, and the worst pictures.

use std::collections::BTreeMap;

use minijinja::{Value, context};
use serde::Serialize;

use super::evaluation_maps::{Energies, Errors};
use super::page::{embedded_png, filled};
use crate::error::Result;
use crate::evaluation::{
    Evaluated, EvaluationReport, Metric, Metrics, PairMetrics, Row, WorstPicture,
};

/// Parts of a histogram.
const BINS: usize = 40;

/// Most points that a scatter shows: a page is to open at once.
const POINTS: usize = 5000;

/// An evaluation as the bytes of an HTML file that loads nothing; `command` is the command line that was
/// run.
///
/// # Errors
///
/// Never, unless the page itself is wrong.
pub fn evaluation_page(evaluated: &Evaluated, command: &str) -> Result<Vec<u8>> {
    let models = evaluated.report.models.len();
    let failures = &evaluated.report.failures;
    let mut failed: Vec<&str> = failures.iter().map(|of| of.id.as_str()).collect();
    failed.dedup();
    // What is wrong with a picture is the same for every model.
    let mut errors: Vec<&str> = failures.iter().map(|of| of.error.as_str()).collect();
    errors.dedup();
    let context = context! {
        bins => BINS,
        lines => lines(&evaluated.report),
        labels => Metric::ALL.map(|of| (of.name(), of.label())).into_iter().collect::<BTreeMap<_, _>>(),
        distributions => distributions(&evaluated.rows, models),
        scatters => (1..models)
            .filter_map(|model| Scatter::of(&evaluated.rows, model))
            .collect::<Vec<_>>(),
        error_maps => Errors::of(&evaluated.report),
        energies => Energies::of(&evaluated.report),
        failures_named => failed.len(),
        errors => errors,
        worst => evaluated.worst.iter().map(Shown::of).collect::<Vec<_>>(),
    };
    filled(include_str!("evaluation.html"), &evaluated.report, command, context)
}

/// A metric as the page's table shows it.
#[derive(Serialize)]
struct Line {
    name: &'static str,
    label: String,
    digits: usize,
}

impl Line {
    fn of(metric: Metric) -> Self {
        Self { name: metric.name(), label: metric.label(), digits: metric.digits() }
    }
}

/// The lines of the table: metrics that a model has, and two more.
fn lines(report: &EvaluationReport) -> Vec<Line> {
    let is_there = |metric: &Metric| {
        report.models.iter().any(|model| model.metrics.summary(*metric).is_some())
    };
    let mut lines: Vec<Line> = Metric::ALL.into_iter().filter(is_there).map(Line::of).collect();
    let more = |name, label: &str, digits| Line { name, label: label.to_owned(), digits };
    let psnr = usize::from(is_there(&Metric::Psnr));
    lines.insert(psnr, more("psnr_of_mean_mse_db", "PSNR of mean MSE, dB", 2));
    lines.push(more("mae", "Mean error, of 255", 3));
    let any = |has: fn(&Metrics) -> bool| report.models.iter().any(|of| has(&of.metrics));
    let is_against =
        |of: &Metrics| of.rfid.as_ref().is_some_and(|of| of.reference_sha256.is_some());
    let rfid = if any(is_against) { "rFID against a file" } else { "rFID" };
    let of_sets = [
        ("rfid", rfid, 3, any(|of| of.rfid.is_some())),
        ("kid", "KID", 6, any(|of| of.kid.is_some())),
        ("precision", "Precision", 3, any(|of| of.precision.is_some())),
        ("recall", "Recall", 3, any(|of| of.recall.is_some())),
    ];
    let of_sets = of_sets.into_iter().filter(|(_, _, _, is_there)| *is_there);
    lines.extend(of_sets.map(|(name, label, digits, _)| more(name, label, digits)));
    lines
}

fn distributions(rows: &[Row], models: usize) -> Vec<Distribution> {
    let of = |metric: Metric| {
        // A bound of a range needs fewer digits than a mean.
        let digits = metric.digits().saturating_sub(usize::from(metric != Metric::MsSsim));
        Distribution::of(metric.label(), digits, rows, models, |row| metric.of(row))
    };
    let mae = Distribution::of("mean error, of 255".to_owned(), 1, rows, models, |of| Some(of.mae));
    Metric::ALL.into_iter().filter_map(of).chain(mae).collect()
}

/// One metric over all pictures, a histogram for each model over one axis.
#[derive(Serialize)]
struct Distribution {
    name: String,
    digits: usize,
    least: f64,
    most: f64,
    /// How many pictures the highest bar of all stands for.
    highest: usize,
    /// Heights of each model's bars, in percent of that.
    models: Vec<Vec<f64>>,
}

impl Distribution {
    fn of(
        name: String,
        digits: usize,
        rows: &[Row],
        models: usize,
        get: impl Fn(&PairMetrics) -> Option<f64>,
    ) -> Option<Self> {
        let values: Vec<(usize, f64)> = rows
            .iter()
            .filter_map(|row| Some((row.model as usize, get(row.metrics.as_ref()?)?)))
            .collect();
        let least = values.iter().map(|(_, value)| *value).reduce(f64::min)?;
        let most = values.iter().map(|(_, value)| *value).reduce(f64::max)?;
        let width = (most - least).max(f64::MIN_POSITIVE);
        let mut counts = vec![vec![0usize; BINS]; models];
        for (model, value) in values {
            let bin = (((value - least) / width) * BINS as f64) as usize;
            counts[model][bin.min(BINS - 1)] += 1;
        }
        let highest = counts.iter().flatten().copied().max().unwrap_or(0).max(1);
        let heights = |counts: Vec<usize>| {
            counts.into_iter().map(|count| count as f64 / highest as f64 * 100.0).collect()
        };
        let models = counts.into_iter().map(heights).collect();
        Some(Self { name, digits, least, most, highest, models })
    }
}

/// PSNR of each picture: of one model, over that of the first.
#[derive(Serialize)]
struct Scatter {
    model: usize,
    /// Both axes, in dB.
    least: f64,
    most: f64,
    /// From the left and from the top, in percent.
    points: Vec<(String, String)>,
    /// Whether only one picture in `every` is shown.
    left_out: bool,
    every: usize,
}

impl Scatter {
    fn of(rows: &[Row], model: usize) -> Option<Self> {
        let psnr_db = |model: usize| {
            rows.iter()
                .filter(move |row| row.model as usize == model)
                .map(|row| row.metrics.as_ref().and_then(|of| of.psnr_db))
        };
        let both: Vec<(f64, f64)> =
            psnr_db(0).zip(psnr_db(model)).filter_map(|(a, b)| a.zip(b)).collect();
        let values = || both.iter().flat_map(|(a, b)| [*a, *b]);
        let (least, most) = (values().reduce(f64::min)?, values().reduce(f64::max)?);
        let width = (most - least).max(f64::MIN_POSITIVE);
        // A tenth of a point is finer than it is drawn.
        let share = |value: f64| (value - least) / width * 100.0;
        let every = both.len().div_ceil(POINTS);
        let point = |(a, b): &(f64, f64)| {
            (format!("{:.1}", share(*a)), format!("{:.1}", 100.0 - share(*b)))
        };
        let points = both.iter().step_by(every).map(point).collect();
        Some(Self { model, least, most, points, left_out: every > 1, every })
    }
}

/// One of the worst pictures.
#[derive(Serialize)]
struct Shown {
    model: u32,
    id: String,
    psnr_db: f64,
    picture: Value,
}

impl Shown {
    fn of(worst: &WorstPicture) -> Self {
        Self {
            model: worst.model,
            id: worst.id.clone(),
            psnr_db: worst.psnr_db,
            picture: embedded_png(&worst.png),
        }
    }
}

//! A data set and its models as a page: a table, distributions, latents, and the worst pictures.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use minijinja::{Value, context};
use serde::Serialize;

use super::page::filled;
use crate::error::Result;
use crate::evaluation::{Evaluated, PairMetrics, Row, WorstPicture};

/// Parts of a histogram.
const BINS: usize = 40;

/// An evaluation as the bytes of an HTML file that loads nothing; `command` is the command line that was
/// run.
///
/// # Errors
///
/// Never, unless the page itself is wrong.
pub fn evaluation_page(evaluated: &Evaluated, command: &str) -> Result<Vec<u8>> {
    let models = evaluated.report.models.len();
    let context = context! {
        bins => BINS,
        distributions => METRICS
            .iter()
            .filter_map(|metric| Distribution::of(metric, &evaluated.rows, models))
            .collect::<Vec<_>>(),
        worst => evaluated.worst.iter().map(Shown::of).collect::<Vec<_>>(),
    };
    filled(include_str!("evaluation.html"), &evaluated.report, command, context)
}

/// A metric of a picture: its name, and how many digits it is shown with.
type Metric = (&'static str, usize, fn(&PairMetrics) -> Option<f64>);

const METRICS: [Metric; 4] = [
    ("PSNR, dB", 1, |of| of.psnr_db),
    ("SSIM", 3, |of| of.ssim),
    ("MS-SSIM", 4, |of| of.ms_ssim),
    ("mean error, of 255", 1, |of| Some(of.mae)),
];

/// One metric over all pictures, a histogram for each model over one axis.
#[derive(Serialize)]
struct Distribution {
    name: &'static str,
    digits: usize,
    least: f64,
    most: f64,
    /// Heights of each model's bars, in percent of the highest of all.
    models: Vec<Vec<f64>>,
}

impl Distribution {
    fn of((name, digits, get): &Metric, rows: &[Row], models: usize) -> Option<Self> {
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
        let highest = counts.iter().flatten().copied().max().unwrap_or(0).max(1) as f64;
        let heights = |counts: Vec<usize>| {
            counts.into_iter().map(|count| count as f64 / highest * 100.0).collect()
        };
        let models = counts.into_iter().map(heights).collect();
        Some(Self { name, digits: *digits, least, most, models })
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
        let bytes = BASE64_STANDARD.encode(&worst.png);
        Self {
            model: worst.model,
            id: worst.id.clone(),
            psnr_db: worst.psnr_db,
            picture: Value::from_safe_string(format!("data:image/png;base64,{bytes}")),
        }
    }
}

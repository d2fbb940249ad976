//! Where the error lies and energy over frequency, as a page draws them.

use serde::Serialize;

use crate::evaluation::{ErrorMap, EvaluationReport, Spectrum};
use crate::pictures::colours;

/// Steps of brightness, from no error to the largest.
const STEPS: usize = 64;

/// One model's error over position, in colors that all models share.
#[derive(Serialize)]
pub(super) struct Errors {
    model: usize,
    /// A side has this many parts.
    parts: usize,
    cells: Vec<Cell>,
    border: f64,
    interior: Option<f64>,
    /// The smallest and the largest of this model's parts.
    least: f64,
    most: f64,
    /// What the brightest color stands for.
    top: f64,
}

/// A part of the pictures.
#[derive(Serialize)]
struct Cell {
    x: usize,
    y: usize,
    colour: String,
    rmse: f64,
}

impl Errors {
    /// Of all models that have one.
    pub fn of(report: &EvaluationReport) -> Vec<Self> {
        let maps = || {
            let models = report.models.iter().enumerate();
            models.filter_map(|(model, of)| Some((model, of.error_map.as_ref()?)))
        };
        let values =
            |map: &ErrorMap| map.rmse.iter().flatten().flatten().copied().collect::<Vec<_>>();
        let top = maps().flat_map(|(_, map)| values(map)).fold(0.0, f64::max);
        maps().map(|(model, map)| Self::of_model(model, map, &values(map), top)).collect()
    }

    fn of_model(model: usize, map: &ErrorMap, values: &[f64], top: f64) -> Self {
        let steps: Vec<[u8; 3]> = colours(STEPS).collect();
        let cell = |x: usize, y: usize, rmse: f64| {
            let step = (rmse / top.max(f64::MIN_POSITIVE) * (STEPS - 1) as f64).round() as usize;
            let [red, green, blue] = steps[step.min(STEPS - 1)];
            Cell { x, y, colour: format!("#{red:02x}{green:02x}{blue:02x}"), rmse }
        };
        let rows = map.rmse.iter().enumerate();
        let cells = rows.flat_map(|(y, row)| {
            row.iter().enumerate().filter_map(move |(x, rmse)| Some((x, y, (*rmse)?)))
        });
        Self {
            model,
            parts: map.rmse.len(),
            cells: cells.map(|(x, y, rmse)| cell(x, y, rmse)).collect(),
            border: map.border_rmse,
            interior: map.interior_rmse,
            least: values.iter().copied().fold(f64::INFINITY, f64::min),
            most: values.iter().copied().fold(0.0, f64::max),
            top,
        }
    }
}

/// Size of a chart of energy over frequency.
const WIDTH: f64 = 280.0;
const HEIGHT: f64 = 150.0;
/// Decades below the whole energy that it shows.
const DECADES: f64 = 6.0;

/// One model's energy over frequency: a line each of what went in, what came back, and the latents.
#[derive(Serialize)]
pub(super) struct Energies {
    model: usize,
    width: f64,
    height: f64,
    /// Height of each decade's line, and what it stands for.
    decades: Vec<(f64, String)>,
    lines: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    name: &'static str,
    /// Corners, as SVG writes them.
    points: String,
    /// Of the energy, in the upper half of the frequencies.
    upper_half: f64,
}

impl Energies {
    /// Of all models that have one.
    pub fn of(report: &EvaluationReport) -> Vec<Self> {
        let models = report.models.iter().enumerate();
        models
            .filter_map(|(model, of)| of.spectrum.as_ref().map(|of| Self::of_model(model, of)))
            .collect()
    }

    fn of_model(model: usize, spectrum: &Spectrum) -> Self {
        let height = |share: f64| {
            let decades = -share.max(f64::MIN_POSITIVE).log10();
            decades.clamp(0.0, DECADES) / DECADES * HEIGHT
        };
        let points = |shares: &[f64]| -> String {
            let last = shares.len().saturating_sub(1).max(1) as f64;
            let corner = |(band, share): (usize, &f64)| {
                // Of one coefficient: more of them have a middling frequency than a low or a high one.
                let coefficients = (band + 1).min(shares.len() - band) as f64;
                let x = band as f64 / last * WIDTH;
                format!("{x:.1},{:.1}", height(share / coefficients))
            };
            shares.iter().enumerate().map(corner).collect::<Vec<_>>().join(" ")
        };
        let line = |name, shares: &[f64]| Line {
            name,
            points: points(shares),
            upper_half: Spectrum::upper_half(shares),
        };
        let share = |decade: usize| match decade {
            0 => "1".to_owned(),
            _ => format!("10\u{207b}{}", SUPERSCRIPTS[decade]),
        };
        let decades = (0..=DECADES as usize).step_by(2);
        Self {
            model,
            width: WIDTH,
            height: HEIGHT,
            decades: decades.map(|of| (of as f64 / DECADES * HEIGHT, share(of))).collect(),
            lines: vec![
                line("pictures", &spectrum.input),
                line("what came back", &spectrum.decoded),
                line("latents", &spectrum.latents),
            ],
        }
    }
}

const SUPERSCRIPTS: [char; 7] =
    ['\u{2070}', '\u{b9}', '\u{b2}', '\u{b3}', '\u{2074}', '\u{2075}', '\u{2076}'];

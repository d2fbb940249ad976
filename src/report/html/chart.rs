//! The geometry of the chart of activations.

use serde::Serialize;

use crate::diagnosis::{F16_MAX, extreme};
use crate::trace::{Activation, TraceFile};

/// A chart that is 100 units high and one wide for each module.
#[derive(Debug, Serialize)]
pub(super) struct Chart<'a> {
    pub bars: Vec<Bar<'a>>,
    pub halves: Vec<Half>,
    pub ticks: Vec<Tick>,
    pub limit: f32,
    pub limit_at: f64,
    /// Modules whose output f16 does not hold.
    pub over: usize,
    pub largest: Largest<'a>,
}

#[derive(Debug, Serialize)]
pub(super) struct Bar<'a> {
    pub module: &'a str,
    pub kind: &'a str,
    pub shape: &'a [usize],
    pub largest: Option<f32>,
    pub std: Option<f64>,
    pub non_finite: usize,
    pub over: bool,
    pub top: f64,
    pub height: f64,
}

/// Modules of one stage, side by side.
#[derive(Debug, Serialize)]
pub(super) struct Half {
    pub name: &'static str,
    pub from: usize,
    pub count: usize,
}

/// A number on an axis, and how far along it, in percent.
#[derive(Debug, Serialize)]
pub(super) struct Tick {
    pub label: String,
    pub at: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct Largest<'a> {
    pub module: &'a str,
    pub value: f32,
    pub headroom: f32,
}

/// The least decade that is drawn: what lies below says nothing about overflow.
const LEAST_DECADE: f64 = -3.0;

impl<'a> Chart<'a> {
    /// `None` where the trace has no finite output.
    pub fn of(trace: &'a TraceFile) -> Option<Self> {
        let activations: Vec<&Activation> = trace.encode.iter().chain(&trace.decode).collect();
        let largest = activations
            .iter()
            .filter_map(|a| Some((a.module.as_str(), extreme(a)?)))
            .max_by(|a, b| a.1.total_cmp(&b.1))
            .map(|(module, value)| Largest { module, value, headroom: F16_MAX / value })?;
        let least = activations
            .iter()
            .filter_map(|activation| activation.std.filter(|&std| std > 0.0))
            .fold(1.0, f64::min);
        let bottom = least.log10().floor().max(LEAST_DECADE);
        // Room above the limit, whose name stands there.
        let top = (f64::from(largest.value.max(F16_MAX)).log10() + 0.5).ceil();
        let at = |value: f64| {
            let share = (top - value.max(f64::MIN_POSITIVE).log10()) / (top - bottom);
            share.clamp(0.0, 1.0) * 100.0
        };
        let bars: Vec<Bar> = activations
            .iter()
            .map(|activation| {
                let largest = extreme(activation);
                let lost = activation.non_finite > 0;
                // Infinite outputs reach the top.
                let high = if lost { 0.0 } else { at(largest.map_or(0.0, f64::from)) };
                let low = at(activation.std.unwrap_or(0.0));
                Bar {
                    module: &activation.module,
                    kind: &activation.kind,
                    shape: &activation.shape,
                    largest,
                    std: activation.std,
                    non_finite: activation.non_finite,
                    over: lost || largest.is_some_and(|largest| largest > F16_MAX),
                    top: high,
                    height: (low - high).max(0.5),
                }
            })
            .collect();
        let encoder = trace.encode.len();
        let halves = [("encoder", 0, encoder), ("decoder", encoder, trace.decode.len())];
        let halves = halves.into_iter().filter(|&(_, _, count)| count > 0);
        let decades = (bottom as i32..=top as i32).filter(|decade| decade % 2 == 0);
        Some(Self {
            over: bars.iter().filter(|bar| bar.over).count(),
            bars,
            halves: halves.map(|(name, from, count)| Half { name, from, count }).collect(),
            ticks: decades.map(|d| Tick { label: label(d), at: at(10f64.powi(d)) }).collect(),
            limit: F16_MAX,
            limit_at: at(f64::from(F16_MAX)),
            largest,
        })
    }
}

fn label(decade: i32) -> String {
    match decade {
        -3..=4 => format!("{}", 10f64.powi(decade)),
        _ => format!("1e{decade}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(outputs: &[&[f32]]) -> TraceFile {
        let activation = |values: &&[f32]| Activation::new("a", "Conv2d", &[values.len()], values);
        TraceFile::new(outputs.iter().map(activation).collect(), Vec::new())
    }

    #[test]
    fn bars_end_where_the_values_lie() {
        let trace = trace(&[&[-1.0, 1.0], &[-100.0, 0.0], &[7e4, 0.0]]);
        let chart = Chart::of(&trace).unwrap();
        let tops: Vec<f64> = chart.bars.iter().map(|bar| bar.top).collect();
        assert!(tops[0] > tops[1] && tops[1] > chart.limit_at && chart.limit_at > tops[2]);
        assert_eq!(chart.over, 1);
        assert!(chart.bars.iter().all(|bar| bar.top + bar.height <= 100.5));
        assert_eq!(chart.halves.len(), 1);
        assert!((chart.largest.headroom - F16_MAX / 7e4).abs() < 1e-6);
    }

    #[test]
    fn infinity_reaches_the_top_and_nothing_finite_has_no_chart() {
        let lost = trace(&[&[f32::INFINITY, 1.0], &[1.0, 2.0]]);
        let chart = Chart::of(&lost).unwrap();
        assert_eq!((chart.bars[0].top, chart.bars[0].over, chart.over), (0.0, true, 1));
        assert!(Chart::of(&trace(&[&[f32::NAN]])).is_none());
        assert!(Chart::of(&trace(&[])).is_none());
        assert!(Chart::of(&trace(&[&[0.0, 0.0]])).is_some());
    }
}

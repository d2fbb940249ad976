//! Choice by choice from one evaluation to the other, in two orders.

use vae_fidelity_files::error::{Error, Result};

use super::choice::{Choice, Setup};
use super::measured::{Compared, measured};
use super::nets::{GapNets, check_weights, left_out_note};
use super::report::{Effect, GapReport, MetricGap};
use super::side::GapSide;
use crate::pair::PairMetrics;
use crate::report::{EvaluationVerdict, ModelResult, SCHEMA_VERSION};
use crate::trained::TrainedMetrics;

/// The share of a gap that has to be explained.
const EXPLAINED: f64 = 0.95;

/// Which choices make the results of two evaluations differ, and by how much each: on at most `sample`
/// pictures of each, every choice is changed from `a`'s to `b`'s, one after the other, along the data's way
/// and against it. A choice's effect is the mean of the two; together they are the sample's gap.
/// `trained` are those of [`GapNets`]; one that is not there is left out, and said to be. `progress` is told how
/// many trips of how many are done.
///
/// # Errors
///
/// When a result is of a shard alone or has no such model, when `trained` have other weights than a result's, when no
/// picture of the sample can be judged, and with [`vae_fidelity_files::ErrorKind::Cancelled`] after a model was
/// cancelled.
pub fn explain_gap(
    a: &GapSide,
    b: &GapSide,
    sample: usize,
    trained: &TrainedMetrics,
    progress: &dyn Fn(usize, usize),
) -> Result<GapReport> {
    let sides = [a, b];
    let models = [a.result.model(a.index, "`model_a`")?, b.result.model(b.index, "`model_b`")?];
    let same_pictures = a.result.pictures_sha256 == b.result.pictures_sha256;
    let same_model = models[0].weights_sha256 == models[1].weights_sha256
        && a.model.vae().config() == b.model.vae().config();
    let protocols = sides.map(|side| &side.result.protocol.choices);
    check_weights(trained, sides)?;
    let of_lpips = GapNets::of(models.map(|model| &model.metrics));
    let start = Setup::of(0, protocols[0], &of_lpips);
    let mut end = Setup::of(1, protocols[1], &of_lpips);
    let recorded_by = [start, end];
    if same_pictures {
        end.pictures = 0;
    }
    if same_model {
        end.model = 0;
    }
    let choices = Choice::between(&start, &end);
    let forwards = path(start, &end, choices.iter());
    let backwards = path(start, &end, choices.iter().rev());
    let setups = [forwards, backwards].concat();
    let samples = sides.map(|side| evenly(side.data.entries().len(), sample));
    let (rows, left_out) = measured(sides, &samples, &setups, trained, progress)?;
    if rows.iter().any(Vec::is_empty) {
        let next = "run `evaluate` on it, which says what is wrong with each picture";
        return Err(Error::option("the sample", "no picture of it can be judged", next));
    }
    let metrics: Vec<MetricGap> = Compared::all()
        .filter_map(|metric| {
            let recorded =
                [0, 1].map(|side| metric.recorded(&models[side].metrics, &recorded_by[side]));
            let [Some(from), Some(to)] = recorded else { return None };
            let values = means(metric, &rows, &setups)?;
            let effects = effects(&choices, &values, protocols, models);
            Some(gap(metric, [from, to], &values, effects))
        })
        .collect();
    let verdict_reasons: Vec<String> =
        metrics.iter().filter_map(MetricGap::unexplained_in_words).collect();
    Ok(GapReport {
        schema_version: SCHEMA_VERSION,
        verdict: EvaluationVerdict::from_reasons(&verdict_reasons),
        verdict_reasons,
        a: a.name(models[0]),
        b: b.name(models[1]),
        sampled: rows.first().map_or(0, Vec::len) as u64,
        left_out: left_out as u64,
        metrics,
        notes: engine_note(sides).into_iter().chain(left_out_note(&of_lpips, trained)).collect(),
    })
}

/// Every setup on the way from `start` to `end`, both among them.
fn path<'a>(start: Setup, end: &Setup, choices: impl Iterator<Item = &'a Choice>) -> Vec<Setup> {
    let mut setups = vec![start];
    for choice in choices {
        let mut next = setups[setups.len() - 1];
        choice.change(&mut next, end);
        setups.push(next);
    }
    setups
}

/// At most `sample` indices below `length`, evenly apart.
fn evenly(length: usize, sample: usize) -> Vec<usize> {
    let count = sample.min(length);
    (0..count).map(|at| at * length / count).collect()
}

fn means(metric: Compared, rows: &[Vec<PairMetrics>], setups: &[Setup]) -> Option<Vec<f64>> {
    rows.iter().zip(setups).map(|(rows, setup)| metric.mean(rows, setup)).collect()
}

/// `values` are those of the way there, and of the way in the other order.
fn effects(
    choices: &[Choice],
    values: &[f64],
    protocols: [&crate::Protocol; 2],
    models: [&ModelResult; 2],
) -> Vec<Effect> {
    let steps = choices.len();
    let (forwards, backwards) = values.split_at(steps + 1);
    let moved = |path: &[f64], at: usize| path[at + 1] - path[at];
    let effect = |(at, choice): (usize, &Choice)| {
        let ways = [moved(forwards, at), moved(backwards, steps - 1 - at)];
        let value = |side: usize| match choice {
            Choice::Model => models[side].source.clone(),
            choice => {
                choice.value(protocols[side]).unwrap_or_else(|| ["a's", "b's"][side].to_owned())
            }
        };
        Effect {
            choice: choice.name().to_owned(),
            a: value(0),
            b: value(1),
            effect: (ways[0] + ways[1]) / 2.0,
            low: ways[0].min(ways[1]),
            high: ways[0].max(ways[1]),
        }
    };
    let mut effects: Vec<Effect> = choices.iter().enumerate().map(effect).collect();
    // What another metric depends on has no effect on this one.
    effects.retain(|of| of.low != 0.0 || of.high != 0.0);
    effects.sort_by(|one, other| other.effect.abs().total_cmp(&one.effect.abs()));
    effects
}

fn gap(metric: Compared, [a, b]: [f64; 2], values: &[f64], effects: Vec<Effect>) -> MetricGap {
    let of_sample = [values[0], values[values.len() - 1]];
    let (gap, sampled) = (b - a, of_sample[1] - of_sample[0]);
    let explained_share =
        (gap.abs() >= metric.smallest()).then(|| 1.0 - (gap - sampled).abs() / gap.abs());
    MetricGap {
        metric: metric.name().to_owned(),
        a,
        b,
        gap,
        a_of_sample: of_sample[0],
        b_of_sample: of_sample[1],
        effects,
        not_explained: gap - sampled,
        explained_share,
    }
}

impl MetricGap {
    /// Why too much of it is left, where it is.
    fn unexplained_in_words(&self) -> Option<String> {
        let share = self.explained_share?;
        // NaN explains nothing.
        let explained = share >= EXPLAINED;
        (!explained).then(|| {
            let percent = 100.0 * share.max(0.0);
            format!(
                "{}: the sample explains {percent:.0} % of the gap: take more pictures",
                self.metric
            )
        })
    }
}

/// That what computed the results is not what computes now, where it is not.
fn engine_note(sides: [&GapSide; 2]) -> Option<String> {
    let others: Vec<String> = ["a", "b"]
        .into_iter()
        .zip(sides)
        .filter(|(_, side)| side.result.protocol.engine != side.engine)
        .map(|(name, side)| format!("{name} was computed by {}", side.result.protocol.engine))
        .collect();
    (!others.is_empty()).then(|| {
        format!(
            "{}, the sample by {}: what that does is not among the effects",
            others.join(", "),
            sides[0].engine
        )
    })
}

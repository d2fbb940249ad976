//! A sample of pictures in several setups: what runs alike runs once.

use vae_fidelity_files::error::{ErrorKind, Result};

use super::choice::Setup;
use super::side::GapSide;
use crate::data::Reader;
use crate::judge::{Trip, trip};
use crate::metric::Metric;
use crate::pair::{Pair, PairMetrics, decibels};
use crate::prepare::{Prepared, prepare};
use crate::protocol::{Average, LpipsChoices, LpipsValues, Rounding};
use crate::report::Metrics;
use crate::trained::{Distances, Input, TrainedMetrics};

/// A metric that is held against itself.
#[derive(Debug, Clone, Copy)]
pub(super) enum Compared {
    /// One that is the same in both.
    Of(Metric),
    /// The mean absolute error.
    Mae,
    /// LPIPS, by the network of each setup.
    Lpips,
}

impl Compared {
    /// All there are.
    pub fn all() -> impl Iterator<Item = Self> {
        Metric::ALL.into_iter().map(Self::Of).chain([Self::Mae, Self::Lpips])
    }

    /// As results call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Of(metric) => metric.name(),
            Self::Mae => "mae",
            Self::Lpips => "lpips",
        }
    }

    /// A gap below this is none: about the last digit that a paper prints.
    pub fn smallest(self) -> f64 {
        match self {
            Self::Of(Metric::Lpips(_) | Metric::Dists) | Self::Lpips => 0.0005,
            Self::Of(Metric::Ssimulacra2) => 0.05,
            Self::Of(_) | Self::Mae => 0.005,
        }
    }

    /// The mean that a result of `setup` has.
    pub fn recorded(self, metrics: &Metrics, setup: &Setup) -> Option<f64> {
        match self {
            Self::Of(Metric::Psnr) => metrics.averaged_psnr_db(setup.metrics.psnr_average),
            Self::Of(metric) => metrics.summary(metric).map(|of| of.mean),
            Self::Mae => metrics.mae.as_ref().map(|of| of.mean),
            Self::Lpips => metrics.summary(Metric::Lpips(setup.net?)).map(|of| of.mean),
        }
    }

    /// The same of rows.
    pub fn mean(self, rows: &[PairMetrics], setup: &Setup) -> Option<f64> {
        let of = |metric: Metric| mean(rows.iter().filter_map(|row| metric.of(row)));
        match self {
            Self::Of(Metric::Psnr) if setup.metrics.psnr_average == Average::PsnrOfMeanMse => {
                mean(rows.iter().map(|row| row.mse)).filter(|mse| *mse > 0.0).map(decibels)
            }
            Self::Of(metric) => of(metric),
            Self::Mae => mean(rows.iter().map(|row| row.mae)),
            Self::Lpips => of(Metric::Lpips(setup.net?)),
        }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u64), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

/// What `setups` make of the pictures of `samples` (of each side, by index), in order of `setups`; and how
/// many pictures were left out, since a setup could not judge them.
///
/// # Errors
///
/// With [`ErrorKind::Cancelled`] after a model was cancelled.
pub(super) fn measured(
    sides: [&GapSide; 2],
    samples: &[Vec<usize>; 2],
    setups: &[Setup],
    trained: &TrainedMetrics,
    told: &dyn Fn(usize, usize),
) -> Result<(Vec<Vec<PairMetrics>>, usize)> {
    let mut trips: Vec<Setup> = Vec::new();
    for setup in setups {
        if !trips.iter().any(|known| known.has_trip_of(setup)) {
            trips.push(*setup);
        }
    }
    let total = trips.iter().map(|of| samples[of.pictures].len()).sum();
    let mut rows: Vec<Vec<Option<PairMetrics>>> = vec![Vec::new(); setups.len()];
    let mut done = 0;
    for of in &trips {
        let data = sides[of.pictures].data;
        let mut reader = Reader::new(data);
        for &index in &samples[of.pictures] {
            let entry = &data.entries()[index];
            let judged = reader
                .read(entry)
                .and_then(|bytes| prepare(&entry.id, bytes, &of.input))
                .and_then(|prepared| {
                    let trip = trip(sides[of.model].model, &prepared, &entry.id, of.posterior)?;
                    Ok((prepared, trip))
                });
            let judged = match judged {
                Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
                judged => judged.ok(),
            };
            let mut known = KnownDistances::default();
            for (setup, rows) in setups.iter().zip(&mut rows) {
                if setup.has_trip_of(of) {
                    let pair = judged.as_ref().filter(|(_, trip)| is_finite(trip));
                    let pair = pair.and_then(|(prepared, trip)| {
                        let decoded = trip.decoded.view();
                        let mut pair =
                            Pair::of(prepared.sample.view(), decoded, &setup.metrics).ok()?;
                        let distances = known.of(setup, trained, prepared, trip, &pair).ok()?;
                        distances.give_to(&mut pair.metrics);
                        Some(pair)
                    });
                    rows.push(pair.map(|pair| pair.metrics));
                }
            }
            done += 1;
            told(done, total);
        }
    }
    Ok(kept(setups, samples, rows))
}

/// What trained networks make of one picture that came back, which takes longer than all else: computed once for
/// setups that make the same of it.
#[derive(Default)]
struct KnownDistances(Vec<(LpipsChoices, Rounding, Distances)>);

impl KnownDistances {
    fn of(
        &mut self,
        setup: &Setup,
        trained: &TrainedMetrics,
        prepared: &Prepared,
        trip: &Trip,
        pair: &Pair,
    ) -> Result<Distances> {
        let (choices, rounding) = (setup.metrics.lpips, setup.metrics.rounding);
        let of_floats = choices.values == LpipsValues::Floats && !setup.metrics.dists;
        let is_same = |known: &&(LpipsChoices, Rounding, Distances)| {
            known.0 == choices && (known.1 == rounding || of_floats)
        };
        if let Some((.., distances)) = self.0.iter().find(is_same) {
            return Ok(distances.clone());
        }
        let mut input = Input::new(trained, choices, prepared.sample.view());
        let distances = input.distances(pair, trip.decoded.view())?;
        self.0.push((choices, rounding, distances.clone()));
        Ok(distances)
    }
}

fn is_finite(trip: &Trip) -> bool {
    trip.decoded.iter().all(|value| value.is_finite())
}

/// The pictures of each side that every setup judged.
fn kept(
    setups: &[Setup],
    samples: &[Vec<usize>; 2],
    rows: Vec<Vec<Option<PairMetrics>>>,
) -> (Vec<Vec<PairMetrics>>, usize) {
    let judged = |side: usize, at: usize| {
        let mut of_side = setups.iter().zip(&rows).filter(|(setup, _)| setup.pictures == side);
        of_side.all(|(_, rows)| rows[at].is_some())
    };
    let keep: [Vec<bool>; 2] =
        [0, 1].map(|side| (0..samples[side].len()).map(|at| judged(side, at)).collect());
    let left_out = keep.iter().flatten().filter(|keep| !**keep).count();
    let kept = setups
        .iter()
        .zip(&rows)
        .map(|(setup, rows)| {
            let both = rows.iter().zip(&keep[setup.pictures]);
            both.filter(|(_, keep)| **keep).filter_map(|(row, _)| *row).collect()
        })
        .collect();
    (kept, left_out)
}

//! A sample of pictures in several setups: what runs alike runs once.

use vae_fidelity_files::error::{ErrorKind, Result};

use super::choice::Setup;
use super::side::GapSide;
use crate::data::Reader;
use crate::judge::{Trip, trip};
use crate::pair::{Pair, PairMetrics, decibels};
use crate::prepare::prepare;
use crate::protocol::Average;
use crate::report::Metrics;

/// A metric's mean over pictures, as the result has it.
pub(super) type Mean = fn(&[PairMetrics], Average) -> Option<f64>;

/// A metric that is held against itself.
pub(super) struct Metric {
    /// As results call it.
    pub name: &'static str,
    /// The mean that a result has.
    pub recorded: fn(&Metrics, Average) -> Option<f64>,
    /// The same of rows.
    pub mean: Mean,
}

/// All of them.
pub(super) const METRICS: [Metric; 4] = [
    Metric { name: "psnr_db", recorded: Metrics::averaged_psnr_db, mean: psnr_db },
    Metric {
        name: "ssim",
        recorded: |of, _| of.ssim.as_ref().map(|of| of.mean),
        mean: |rows, _| mean(rows.iter().filter_map(|row| row.ssim)),
    },
    Metric {
        name: "ms_ssim",
        recorded: |of, _| of.ms_ssim.as_ref().map(|of| of.mean),
        mean: |rows, _| mean(rows.iter().filter_map(|row| row.ms_ssim)),
    },
    Metric {
        name: "mae",
        recorded: |of, _| of.mae.as_ref().map(|of| of.mean),
        mean: |rows, _| mean(rows.iter().map(|row| row.mae)),
    },
];

fn psnr_db(rows: &[PairMetrics], average: Average) -> Option<f64> {
    match average {
        Average::MeanOfPsnr => mean(rows.iter().filter_map(|row| row.psnr_db)),
        Average::PsnrOfMeanMse => {
            mean(rows.iter().map(|row| row.mse)).filter(|mse| *mse > 0.0).map(decibels)
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
            for (setup, rows) in setups.iter().zip(&mut rows) {
                if setup.has_trip_of(of) {
                    let pair = judged.as_ref().filter(|(_, trip)| is_finite(trip));
                    let pair = pair.and_then(|(prepared, trip)| {
                        let decoded = trip.decoded.view();
                        Pair::of(prepared.sample.view(), decoded, &setup.metrics).ok()
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

//! Charts on their way through a VAE.

use std::fmt;

use ndarray::Array4;

use crate::bars::{judge, score_db};
use crate::charts::{Chart, LEAST_SIDE, SIDE_STEP};
use crate::judged::Judged;
use crate::levels::Levels;
use crate::measures::{
    Trip, checker_gains, correlation, edge_responses, grey_shift, grid_rms, half_response,
    patch_differences, point_grid, ramp_border_rms, ramp_chroma, ramp_rms, ring_gains,
    unevenness_rms,
};
use crate::numbers::{CheckerGain, Numbers, Response, finite};
use vae_fidelity_core::image_processor::sample_of;
use vae_fidelity_core::vae::{Encoded, Vae};
use vae_fidelity_files::error::{Error, Result};
use vae_fidelity_pixels::Rgb8;

/// Pixels a side of the charts at which the bars were measured.
pub const DEFAULT_SIDE: usize = 256;
/// How often the chart [`Chart::Mosaic`] is sent round.
pub const TRIPS: usize = 10;

/// Pixels a side of the mosaic among charts of `side`: half of it, for a quarter of the time that ten trips
/// take, and 128 at least.
pub fn mosaic_side(side: usize) -> usize {
    (side / 2 / SIDE_STEP * SIDE_STEP).max(LEAST_SIDE)
}

/// What is sent next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sent {
    /// A chart, for the first time.
    Chart(Chart),
    /// The mosaic once more: this trip, from 2 to [`TRIPS`].
    Trip(usize),
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chart(chart) => {
                let at = Chart::ALL.iter().position(|other| other == chart).unwrap_or_default();
                write!(f, "chart {} of {}: {chart}", at + 1, Chart::ALL.len())
            }
            Self::Trip(trip) => write!(f, "trip {trip} of {TRIPS}"),
        }
    }
}

/// A chart and what came back of it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Shown {
    /// Which.
    pub chart: Chart,
    /// How often it was sent round: 1 but for the last of the mosaic.
    pub trips: usize,
    /// As it was drawn.
    pub drawn: Rgb8,
    /// As it came back, rounded to bytes.
    pub decoded: Rgb8,
}

/// What one VAE made of all charts.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Probed {
    /// What was measured.
    pub numbers: Numbers,
    /// The numbers that have a bar, with the room to it.
    pub judged: Vec<Judged>,
    /// The least of that room, in dB; see [`crate::bars`].
    pub score_db: f64,
    /// The mosaic after each trip.
    pub trips: Vec<Trip>,
    /// Every chart with its decoding; the last is the mosaic after [`TRIPS`].
    pub shown: Vec<Shown>,
    /// The mosaic's sample, (1, 3, H, W), for rules that look at one trip.
    pub sample: Array4<f32>,
    /// What it was encoded to.
    pub encoded: Encoded,
    /// Its scaled latents.
    pub latents: Array4<f32>,
    /// What it was decoded to after the first trip, (1, 3, H, W), not clamped.
    pub decoded: Array4<f32>,
}

/// One chart's trip.
struct Sending {
    sample: Array4<f32>,
    encoded: Encoded,
    latents: Array4<f32>,
    decoded: Array4<f32>,
    levels: Levels,
    /// Mean difference between the implementation's own pixels and those that are rounded here.
    conversion: Option<f64>,
}

/// Sends every chart of `side` pixels a side through `vae`, and the mosaic of [`mosaic_side`] [`TRIPS`] times; `progress` is
/// told what is sent.
///
/// # Errors
///
/// Returns an error if there are no charts of this size, if `vae` cannot run on them, and if it gives back a
/// picture of another size.
pub fn probe(vae: &dyn Vae, side: usize, progress: impl Fn(Sent)) -> Result<Probed> {
    let period = vae.config().downsampling();
    let mut numbers = Numbers::default();
    let mut shown = Vec::new();
    let mut conversions = Vec::new();
    let mut send = |sent: Sent, picture: &Rgb8| -> Result<Sending> {
        progress(sent);
        let sending = send(vae, picture)?;
        numbers.non_finite += sending.decoded.iter().filter(|value| !value.is_finite()).count();
        conversions.extend(sending.conversion);
        Ok(sending)
    };
    let mut chart = |chart: Chart| -> Result<(Levels, Sending)> {
        let side = if chart == Chart::Mosaic { mosaic_side(side) } else { side };
        let drawn = chart.draw(side)?;
        let sending = send(Sent::Chart(chart), &drawn)?;
        let levels = Levels::of_picture(&drawn);
        let decoded = sending.levels.to_picture()?;
        shown.push(Shown { chart, trips: 1, drawn, decoded });
        Ok((levels, sending))
    };

    let mut flat = [[0.0; 3]; Chart::FLAT.len()];
    for (found, (grey, level)) in flat.iter_mut().zip(Chart::FLAT) {
        let (_, came) = chart(grey)?;
        let came = &came.levels;
        *found = [grid_rms(came, period), unevenness_rms(came, period), grey_shift(came, level)];
    }
    let (ramps, ramps_came) = chart(Chart::Ramps)?;
    let (plate, plate_came) = chart(Chart::ZonePlate)?;
    let (edges, edges_came) = chart(Chart::Edges)?;
    let (_, colours_came) = chart(Chart::Colours)?;
    let (text, text_came) = chart(Chart::Text)?;
    let (checkers, checkers_came) = chart(Chart::Checkers)?;
    let (_, points_came) = chart(Chart::Points)?;
    let (mosaic, first) = chart(Chart::Mosaic)?;

    let mut trips = vec![Trip::of(1, &mosaic, &first.levels)];
    let mut latest = first.levels.to_picture()?;
    for trip in 2..=TRIPS {
        let sending = send(Sent::Trip(trip), &latest)?;
        trips.push(Trip::of(trip, &mosaic, &sending.levels));
        latest = sending.levels.to_picture()?;
    }
    let drawn = mosaic.to_picture()?;
    shown.push(Shown { chart: Chart::Mosaic, trips: TRIPS, drawn, decoded: latest });

    let worst = |at: usize| worst(flat.map(|found| found[at]));
    numbers.grid_rms_levels = worst(0);
    numbers.unevenness_rms_levels = worst(1);
    numbers.grey_shift_delta_e_2000 = worst(2);
    numbers.grey_chroma_ab = finite(ramp_chroma(&ramps_came.levels));
    numbers.ramp_rms_levels = finite(ramp_rms(&ramps, &ramps_came.levels));
    numbers.border_rms_levels = finite(ramp_border_rms(&ramps, &ramps_came.levels));
    let patches = patch_differences(&colours_came.levels);
    numbers.colour_mean_delta_e_2000 = mean(patches.iter().copied());
    numbers.colour_max_delta_e_2000 = self::worst(patches);
    let responses = edge_responses(&edges, &edges_came.levels);
    numbers.mtf50_cycles_per_pixel = mean(responses.iter().map(|edge| edge.mtf50_cycles_per_pixel));
    numbers.ringing_percent = self::worst(responses.map(|edge| edge.ringing_percent));
    numbers.edge_shift_pixels = self::worst(responses.map(|edge| edge.shift_pixels));
    let rings = ring_gains(&plate, &plate_came.levels);
    numbers.rings_half_cycles_per_pixel = finite(half_response(&rings));
    let response = |(cycles_per_pixel, gain)| Response { cycles_per_pixel, gain: finite(gain) };
    numbers.rings = rings.into_iter().map(response).collect();
    numbers.text_correlation = finite(correlation(&text, &text_came.levels));
    let gain = |(field_pixels, gain)| CheckerGain { field_pixels, gain: finite(gain) };
    let gains = checker_gains(&checkers, &checkers_came.levels);
    numbers.checkers = gains.into_iter().map(gain).collect();
    let points = point_grid(&points_came.levels);
    numbers.point_gain = finite(points.gain);
    numbers.point_gain_spread = finite(points.spread);

    let per_trip = |of: fn(&Trip) -> Option<f64>| -> Option<f64> {
        let (first, last) = (of(trips.first()?)?, of(trips.last()?)?);
        finite((last - first) / (TRIPS - 1) as f64)
    };
    numbers.drift_delta_e_2000_per_trip = per_trip(|trip| trip.mean_delta_e_2000);
    numbers.drift_db_per_trip = per_trip(|trip| trip.psnr_db).map(|change| -change);
    numbers.mosaic_psnr_db = trips[0].psnr_db;
    let spread = std(&first.latents);
    numbers.latents_std = finite(spread);
    numbers.posterior_std_share = posterior_share(&first.encoded);
    let again = vae.scale(vae.encode(first.sample.view(), None)?.latents.view())?;
    let squares = again.iter().zip(&first.latents).map(|(a, b)| f64::from(a - b).powi(2));
    numbers.repeat_share = finite((squares.sum::<f64>() / again.len() as f64).sqrt() / spread);
    numbers.conversion_mean_levels =
        (!conversions.is_empty()).then(|| mean(conversions.iter().copied())).flatten();

    let judged = judge(&numbers);
    let score_db = score_db(&numbers, &judged);
    let Sending { sample, encoded, latents, decoded, .. } = first;
    Ok(Probed { numbers, judged, score_db, trips, shown, sample, encoded, latents, decoded })
}

/// One trip of `picture`, with what the implementation makes pixels of.
fn send(vae: &dyn Vae, picture: &Rgb8) -> Result<Sending> {
    let sample = sample_of(vae.config(), picture, None, vae.dtype())?;
    let encoded = vae.encode(sample.view(), None)?;
    let latents = vae.scale(encoded.latents.view())?;
    let decoded = vae.decode(vae.unscale(latents.view())?.view())?;
    let rounded = Levels::of_decoded(decoded.view())?;
    check_size(picture, (rounded.width(), rounded.height()))?;
    let (levels, conversion) = match vae.to_rgb8(decoded.view()) {
        None => (rounded, None),
        Some(own) => {
            let own = own?;
            check_size(picture, (own.width(), own.height()))?;
            let pairs = own.data().iter().zip(rounded.to_picture()?.data().to_vec());
            let sum: f64 = pairs.map(|(&a, b)| f64::from(a.abs_diff(b))).sum();
            (Levels::of_picture(&own), Some(sum / own.data().len() as f64))
        }
    };
    Ok(Sending { sample, encoded, latents, decoded, levels, conversion })
}

fn check_size(chart: &Rgb8, (width, height): (usize, usize)) -> Result<()> {
    if (width, height) == (chart.width(), chart.height()) {
        return Ok(());
    }
    Err(Error::tensor(
        "decoded",
        format!(
            "{width} x {height} came back of a chart of {} x {}",
            chart.width(),
            chart.height()
        ),
        "choose a `size` that the model's downsampling divides; a port has to give back the size it was given",
    ))
}

/// The largest; `None` where one is not a number.
fn worst(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let worst = values
        .into_iter()
        .reduce(|worst, value| if value.is_nan() || value > worst { value } else { worst });
    worst.and_then(finite)
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> Option<f64> {
    let count = values.len() as f64;
    finite(values.sum::<f64>() / count)
}

fn std(tensor: &Array4<f32>) -> f64 {
    let count = tensor.len() as f64;
    let mean = tensor.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    (tensor.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count).sqrt()
}

/// Mean standard deviation of the posterior over the standard deviation of its mean.
fn posterior_share(encoded: &Encoded) -> Option<f64> {
    let stds = encoded.std.as_ref()?;
    let mean = stds.iter().map(|&std| f64::from(std)).sum::<f64>() / stds.len() as f64;
    finite(mean / std(&encoded.latents))
}

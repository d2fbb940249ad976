//! The report as one HTML file that holds all it shows: a view of the struct, with pictures of the
//! run beside it.

mod numbers;
mod page;
mod chart;
mod probe;
#[cfg(feature = "evaluate")]
mod evaluation_maps;
#[cfg(feature = "evaluate")]
mod evaluation;

#[cfg(feature = "evaluate")]
pub use evaluation::evaluation_page;

use minijinja::{Value, context};
use ndarray::{ArrayView4, Axis, s};
use serde::Serialize;

use super::check::CheckReport;
use crate::error::Result;
use crate::metrics::Visibility;
use crate::pictures::{Scale, channel_picture, colours, heat_map, histogram, written};
use crate::pixels::Rgb8;
use crate::trace::{Statistics, TraceFile};
use chart::{Chart, Tick};
use page::{embedded, embedded_png, rendered};

/// Parts of a histogram.
const BINS: usize = 48;

/// What a page shows beside the report itself.
pub struct Illustrations<'a> {
    /// The picture that the VAE saw and the one that came back, of one size; `None` where there is
    /// none.
    pub pictures: Option<(&'a Rgb8, &'a Rgb8)>,
    /// The picture that the user's own pipeline decoded, where one was given.
    pub decoded_image: Option<&'a Rgb8>,
    /// The frames of a clip before and after, each an animated PNG file; `None` for no clip.
    pub clip: Option<(&'a [u8], &'a [u8])>,
    /// How visible their difference is; `None` for no heat map.
    pub visibility: Option<&'a Visibility>,
    /// Scaled latents, (1, channels, height, width).
    pub latents: ArrayView4<'a, f32>,
    /// Every layer of both halves.
    pub trace: &'a TraceFile,
    /// The command line that was run.
    pub command: &'a str,
}

impl CheckReport {
    /// This report as the bytes of an HTML file that loads nothing: pictures, charts, style and
    /// script are inside.
    ///
    /// # Errors
    ///
    /// Returns an error if a picture is too large for PNG.
    pub fn to_html(&self, illustrations: &Illustrations) -> Result<Vec<u8>> {
        let pictures = match illustrations.pictures {
            Some((input, output)) => Some(Pictures::of(input, output, illustrations.visibility)?),
            None => None,
        };
        let (channels, latent_range) = channels(illustrations.latents)?;
        let context = context! {
            script => Value::from_safe_string(include_str!("script.js").to_owned()),
            pictures,
            clip => illustrations.clip.map(|(input, output)| [input, output].map(embedded_png)),
            yours => illustrations.decoded_image.map(Yours::of).transpose()?,
            channels,
            latent_range,
            chart => Chart::of(illustrations.trace),
        };
        rendered(include_str!("page.html"), self, illustrations.command, context)
    }
}

#[derive(Serialize)]
struct Pictures {
    width: usize,
    height: usize,
    input: Value,
    output: Value,
    heat_map: Option<Value>,
    largest: f64,
    gradient: Value,
    /// Where a distance of 1 lies on the scale, in percent.
    visible: f64,
    ticks: Vec<Tick>,
}

impl Pictures {
    fn of(input: &Rgb8, output: &Rgb8, visibility: Option<&Visibility>) -> Result<Self> {
        let scale = visibility.map(Scale::of);
        let map = visibility.zip(scale).map(|(visibility, scale)| heat_map(visibility, scale));
        let colours = colours(16).map(|[red, green, blue]| format!("rgb({red} {green} {blue})"));
        let top = scale.map_or(1.0, Scale::top);
        let tick = |at: f64| Tick { label: written(at), at: at / top * 100.0 };
        Ok(Self {
            width: input.width(),
            height: input.height(),
            input: embedded(input)?,
            output: embedded(output)?,
            heat_map: map.transpose()?.as_ref().map(embedded).transpose()?,
            largest: visibility.map_or(0.0, Visibility::score),
            gradient: Value::from_safe_string(colours.collect::<Vec<_>>().join(",")),
            visible: 100.0 / top,
            ticks: scale.map(Scale::ticks).into_iter().flatten().map(tick).collect(),
        })
    }
}

/// The picture of the user's own pipeline.
#[derive(Serialize)]
struct Yours {
    width: usize,
    height: usize,
    picture: Value,
}

impl Yours {
    fn of(picture: &Rgb8) -> Result<Self> {
        let (width, height) = (picture.width(), picture.height());
        Ok(Self { width, height, picture: embedded(picture)? })
    }
}

#[derive(Serialize)]
struct Channel {
    index: usize,
    picture: Value,
    /// Heights, in percent of the fullest part of any channel.
    histogram: Vec<f64>,
    #[serde(flatten)]
    statistics: Statistics,
}

/// The axis that all histograms share.
#[derive(Serialize)]
struct LatentRange {
    least: f64,
    most: f64,
    /// Where 0 lies, in parts of a histogram; `None` outside.
    zero: Option<f64>,
}

fn channels(latents: ArrayView4<f32>) -> Result<(Vec<Channel>, LatentRange)> {
    let all = Statistics::of(latents);
    let least = f64::from(all.min.unwrap_or(0.0));
    let most = f64::from(all.max.unwrap_or(0.0));
    let zero = (least < 0.0 && most > 0.0).then(|| -least / (most - least) * BINS as f64);
    let planes = latents.slice_move(s![0, .., .., ..]);
    let counts: Vec<Vec<usize>> =
        planes.axis_iter(Axis(0)).map(|plane| histogram(plane, least, most, BINS)).collect();
    let fullest = counts.iter().flatten().copied().max().unwrap_or(0).max(1);
    let channels = planes.axis_iter(Axis(0)).zip(counts).enumerate();
    let channels = channels.map(|(index, (plane, counts))| {
        Ok(Channel {
            index,
            picture: embedded(&channel_picture(plane)?)?,
            histogram: counts.iter().map(|&n| n as f64 / fullest as f64 * 100.0).collect(),
            statistics: Statistics::of(&plane),
        })
    });
    Ok((channels.collect::<Result<_>>()?, LatentRange { least, most, zero }))
}

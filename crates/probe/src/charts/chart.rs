//! All charts by their names.

use std::fmt;

use serde::Serialize;

use super::{checkers, colours, edges, flat, mosaic, points, ramps, text, zone_plate};
use vae_fidelity_files::error::{Error, Result};
use vae_fidelity_pixels::Rgb8;

/// The smallest side of a chart, in pixels: below it, too little of one lies away from the borders.
pub const LEAST_SIDE: usize = 128;
/// Sides are multiples of this, in pixels.
pub const SIDE_STEP: usize = 64;
/// The largest side.
const MOST_SIDE: usize = 4096;

/// A synthetic picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Chart {
    /// Grey of level 64 everywhere.
    DarkGrey,
    /// Grey of level 128 everywhere.
    MiddleGrey,
    /// Grey of level 192 everywhere.
    LightGrey,
    /// Four bands from black to full: grey, red, green, blue.
    Ramps,
    /// Rings that become finer outwards, up to half a cycle a pixel.
    ZonePlate,
    /// Four slanted edges between levels 51 and 204.
    Edges,
    /// The 24 colours of the ColorChecker.
    Colours,
    /// Text in three sizes, black on white and white on black.
    Text,
    /// Checkers with fields of 2, 4, 8 and 16 pixels.
    Checkers,
    /// Points of 3 x 3 pixels, 21 pixels apart.
    Points,
    /// A quarter each of colours, edges, text and rings: what is sent round ten times.
    Mosaic,
}

impl Chart {
    /// All of them, in the order in which they are sent.
    pub const ALL: [Self; 11] = [
        Self::DarkGrey,
        Self::MiddleGrey,
        Self::LightGrey,
        Self::Ramps,
        Self::ZonePlate,
        Self::Edges,
        Self::Colours,
        Self::Text,
        Self::Checkers,
        Self::Points,
        Self::Mosaic,
    ];

    /// Those of one grey, with their levels.
    pub const FLAT: [(Self, u8); 3] =
        [(Self::DarkGrey, 64), (Self::MiddleGrey, 128), (Self::LightGrey, 192)];

    /// Its pixels, `side` a side.
    ///
    /// # Errors
    ///
    /// As [`check_side`].
    pub fn draw(self, side: usize) -> Result<Rgb8> {
        check_side(side)?;
        match self {
            Self::DarkGrey | Self::MiddleGrey | Self::LightGrey => {
                let level = Self::FLAT.iter().find(|(chart, _)| *chart == self);
                flat::draw(side, level.map_or(128, |(_, level)| *level))
            }
            Self::Ramps => ramps::draw(side),
            Self::ZonePlate => zone_plate::draw(side),
            Self::Edges => edges::draw(side),
            Self::Colours => colours::draw(side),
            Self::Text => text::draw(side),
            Self::Checkers => checkers::draw(side),
            Self::Points => points::draw(side),
            Self::Mosaic => mosaic::draw(side),
        }
    }

    /// Its name, as JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::DarkGrey => "dark-grey",
            Self::MiddleGrey => "middle-grey",
            Self::LightGrey => "light-grey",
            Self::Ramps => "ramps",
            Self::ZonePlate => "zone-plate",
            Self::Edges => "edges",
            Self::Colours => "colours",
            Self::Text => "text",
            Self::Checkers => "checkers",
            Self::Points => "points",
            Self::Mosaic => "mosaic",
        }
    }
}

impl fmt::Display for Chart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether there are charts of `side` pixels a side.
///
/// # Errors
///
/// Returns an error unless `side` is a multiple of [`SIDE_STEP`] from [`LEAST_SIDE`] to 4096.
pub fn check_side(side: usize) -> Result<()> {
    if side.is_multiple_of(SIDE_STEP) && (LEAST_SIDE..=MOST_SIDE).contains(&side) {
        return Ok(());
    }
    Err(Error::option(
        format!("`size` {side}"),
        format!(
            "charts have a multiple of {SIDE_STEP} pixels a side, from {LEAST_SIDE} to {MOST_SIDE}"
        ),
        "leave it out for 256, at which the bars were measured",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chart_is_drawn_at_every_size_and_differs_from_the_others() {
        for side in [128, 192, 256, 512] {
            let drawn = Chart::ALL.map(|chart| chart.draw(side).unwrap());
            for (at, picture) in drawn.iter().enumerate() {
                assert_eq!((picture.width(), picture.height()), (side, side));
                assert!(drawn[..at].iter().all(|other| other != picture), "{}", Chart::ALL[at]);
            }
        }
        for side in [0, 8, 64, 250, 8192] {
            let error = Chart::Text.draw(side).unwrap_err();
            assert!(error.subject().contains("`size`"), "{error}");
        }
    }

    #[test]
    fn names_are_those_of_json() {
        for chart in Chart::ALL {
            let json = serde_json::to_value(chart).unwrap();
            assert_eq!(json, chart.name());
        }
    }

    #[test]
    fn the_page_has_about_as_much_ink_above_as_below() {
        let page = Chart::Text.draw(256).unwrap();
        let ink = |rows: std::ops::Range<usize>, level| {
            let pixels = rows.flat_map(|y| (0..256).map(move |x| (x, y)));
            pixels.filter(|&(x, y)| page.pixel(x, y) == [level; 3]).count()
        };
        let (above, below) = (ink(0..128, 0), ink(128..256, 255));
        assert!((3000..9000).contains(&above) && (3000..9000).contains(&below), "{above} {below}");
    }
}

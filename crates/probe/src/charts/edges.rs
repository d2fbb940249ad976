//! Four slanted edges after ISO 12233, a quadrant each: two nearly upright, two nearly level.

use super::canvas::square;
use vae_fidelity_files::error::Result;
use vae_fidelity_pixels::Rgb8;

/// The levels on the two sides: 4 to 1, as the standard has it since 2014.
pub(crate) const DARK: u8 = 51;
/// See [`DARK`].
pub(crate) const BRIGHT: u8 = 204;
/// Pixels that an edge moves for each pixel along it: about 5 degrees.
const SLANT: f64 = 0.0875;
/// How many parts of a pixel a side are looked at for its level.
const PARTS: usize = 8;

/// One edge.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Edge {
    /// The quadrant's first column and row.
    pub left: usize,
    /// See `left`.
    pub top: usize,
    /// Pixels a side of the quadrant.
    pub side: usize,
    /// Whether it runs from the top to the bottom.
    pub upright: bool,
    /// Whether the left or upper part is the bright one.
    pub bright_first: bool,
}

impl Edge {
    /// The four of a chart of `side` pixels a side.
    pub fn all(side: usize) -> [Self; 4] {
        let half = side / 2;
        let edge = |left, top, upright, bright_first| Self {
            left: left * half,
            top: top * half,
            side: half,
            upright,
            bright_first,
        };
        [
            edge(0, 0, true, true),
            edge(1, 0, false, true),
            edge(0, 1, false, false),
            edge(1, 1, true, false),
        ]
    }

    /// How far the point `x`, `y` lies beyond the edge, in pixels at a right angle to it; negative on the
    /// left or upper side.
    pub fn beyond(&self, x: f64, y: f64) -> f64 {
        let centre = self.side as f64 / 2.0;
        let (across, along) = (x - self.left as f64 - centre, y - self.top as f64 - centre);
        let (across, along) = if self.upright { (across, along) } else { (along, across) };
        (across - SLANT * along) / SLANT.hypot(1.0)
    }
}

pub(super) fn draw(side: usize) -> Result<Rgb8> {
    let edges = Edge::all(side);
    square(side, |x, y| {
        let half = side / 2;
        let edge = edges[usize::from(x >= half) + 2 * usize::from(y >= half)];
        // The share of the pixel that lies beyond.
        let part = |at: usize| (at as f64 + 0.5) / PARTS as f64;
        let points = (0..PARTS * PARTS).map(|at| (part(at % PARTS), part(at / PARTS)));
        let beyond = points.filter(|(dx, dy)| edge.beyond(x as f64 + dx, y as f64 + dy) > 0.0);
        let share = beyond.count() as f64 / (PARTS * PARTS) as f64;
        let (first, second) = if edge.bright_first { (BRIGHT, DARK) } else { (DARK, BRIGHT) };
        [(f64::from(first) + share * (f64::from(second) - f64::from(first))).round() as u8; 3]
    })
}

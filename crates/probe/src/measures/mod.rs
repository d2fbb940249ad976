//! What is measured: pure functions of what was decoded, each for one chart.

// A module uses only those above it.
mod flatness;
mod greys;
mod colours;
mod rings;
mod edge;
mod likeness;
mod point_grid;
mod drift;

pub(crate) use colours::patch_differences;
pub use drift::Trip;
pub(crate) use edge::edge_responses;
pub(crate) use flatness::{grid_rms, unevenness_rms};
pub(crate) use greys::{grey_shift, ramp_border_rms, ramp_chroma, ramp_rms};
pub(crate) use likeness::{checker_gains, correlation};
pub(crate) use point_grid::point_grid;
pub(crate) use rings::{half_response, ring_gains};

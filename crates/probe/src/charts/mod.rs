//! Synthetic pictures, made by code: a file each.

// A module uses only those above it.
mod canvas;
pub mod checkers;
pub mod colours;
pub mod edges;
pub mod flat;
pub mod points;
pub mod ramps;
pub mod text;
pub mod zone_plate;
mod mosaic;
mod chart;

pub use chart::{Chart, LEAST_SIDE, SIDE_STEP, check_side};

//! What a latent autoencoder does to synthetic charts, and whether that is what a sound one does.
//!
//! No data are needed: [`Chart`] draws pictures of which it is known what should come back, [`probe`] sends
//! them through a [`Vae`](vae_fidelity_core::vae::Vae) and one of them ten times round, and [`Probed`] has
//! what was measured, with a bar for each number.
//!
//! - [`Numbers`]: grid, unevenness, colour ([`ciede2000()`] of [`lab()`]), tone, resolution and ringing of
//!   slanted edges (ISO 12233), response to rings, text, checkers and points, spread of latents, drift.
//! - [`Judged`]: each number with what sound VAEs have, its bar, and the room to it in dB.
//! - [`Probed::score_db`]: the least of that room, which sums it up.
//!
//! [`bars`] says how the bars came about.

// A module uses only those above it.
mod ciede2000;
mod levels;
mod charts;
mod measures;
mod numbers;
mod judged;
pub mod bars;
mod probe;

pub use bars::MARGIN;
pub use charts::{Chart, LEAST_SIDE, SIDE_STEP, check_side};
pub use ciede2000::ciede2000;
pub use judged::{Better, Judged};
pub use levels::Levels;
pub use measures::Trip;
pub use numbers::{CheckerGain, Numbers, Response};
pub use probe::{DEFAULT_SIDE, Probed, Sent, Shown, TRIPS, mosaic_side, probe};
pub use vae_fidelity_core::metrics::lab;

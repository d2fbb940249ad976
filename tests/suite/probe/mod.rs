//! What `probe` says of sound VAEs and of broken ones: by its score, each of these ranks below each of
//! those.

mod calibration;
mod faults;
mod pipelines;
mod port;
mod ranking;
pub mod sound;
mod wrapped;

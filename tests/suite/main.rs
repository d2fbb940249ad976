//! The integration tests, in one binary: each that is linked to libtorch takes as long as this one.
//! Beside it are those that need a process of their own, or that the packed crate has no files for.
//!
//! Tests here share a process: none sets its environment, its working folder, a limit of it, or anything
//! else that another one sees.

// Threads that cannot start may panic here: a test that cannot run has to fail.
#![allow(clippy::disallowed_methods)]

mod checkpoint;
#[cfg(feature = "cli")]
mod command;
mod diagnosis;
mod engines;
mod golden;
mod metrics;
#[cfg(unix)]
mod output;
mod pipeline;
mod pixels;
#[cfg(feature = "tch")]
mod planted;
mod probe;
mod properties;
mod weights;

mod hub_server;
#[cfg(feature = "tch")]
mod libtorch;

//! Why two evaluations differ: each choice changed from one to the other on a sample, and what that moves.

// A module uses only those above it.
mod choice;
mod report;
mod side;
mod measured;
mod explain;
mod text;

pub use choice::Choice;
pub use explain::explain_gap;
pub use report::{Effect, GapReport, MetricGap, ResultName};
pub use side::GapSide;

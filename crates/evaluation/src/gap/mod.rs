//! Why two evaluations differ: each choice changed from one to the other on a sample, and what that moves.

// A module uses only those above it.
mod report;
mod side;
mod nets;
mod choice;
mod measured;
mod explain;
mod text;

pub use choice::Choice;
pub use explain::explain_gap;
pub use nets::GapNets;
pub use report::{Effect, GapReport, MetricGap, ResultName};
pub use side::GapSide;

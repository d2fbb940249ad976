//! Faults in the values of weights, planted in the trained VAEs: `inspect` and `check` name them, and
//! say nothing of weights that are only rounded or tuned.

mod alpha;
mod difference;
mod magnitudes;
mod norm_groups;
pub mod planted;
mod round_trip;
pub mod values;

/// The codes that faults here have to be found by.
#[cfg(feature = "tch")]
pub const CODES: [&str; 11] = [
    "weights-untrained",
    "weights-zero",
    "weights-scale-lost",
    "weights-misread",
    "weights-scaled",
    "weights-quantised",
    "passes-nothing",
    "alpha-lost",
    "norm-num-groups",
    "dead-encoder",
    "dead-decoder",
];

//! How far a run of the suite is.

use super::manifest::Case;

/// A case that is about to run.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// The case.
    pub case: &'a Case,
    /// Its number among the cases to run, from 1.
    pub number: usize,
    /// Cases to run.
    pub total: usize,
}

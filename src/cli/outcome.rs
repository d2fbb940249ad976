//! How a command ends.

use crate::verdict::Verdict;

/// How a command ended: its exit code, and the order from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Passed = 0,
    Failed = 1,
    NotJudged = 2,
}

impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Passed,
            Verdict::Fail => Self::Failed,
        }
    }
}

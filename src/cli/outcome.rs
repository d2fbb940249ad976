//! How a command ends.

#[cfg(feature = "evaluate")]
use crate::evaluation::EvaluationVerdict;
use crate::verdict::Verdict;

/// How a command ended: its exit code, and the order from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Passed = 0,
    Failed = 1,
    NotJudged = 2,
}

#[cfg(feature = "evaluate")]
impl From<EvaluationVerdict> for Outcome {
    fn from(verdict: EvaluationVerdict) -> Self {
        match verdict {
            EvaluationVerdict::Pass => Self::Passed,
            EvaluationVerdict::Fail => Self::Failed,
        }
    }
}

impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Passed,
            Verdict::Fail => Self::Failed,
        }
    }
}

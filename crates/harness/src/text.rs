//! The report as text: the summary first, then every failure, then what was left out.

use std::fmt::{self, Display, Formatter};

use super::compare::{Comparison, Criterion};
use super::fault::Location;
use super::report::{CaseReport, Check, Outcome, Step, SuiteReport};

/// On another machine nearly every tensor is one: more would bury the rest.
const MOST_NEAR_MISSES: usize = 10;

impl Display for SuiteReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let summary = &self.summary;
        writeln!(
            f,
            "goldens in {}: {} cases run, {} failed, {} not run",
            self.suite.display(),
            summary.cases,
            summary.cases_failed,
            summary.cases_not_run,
        )?;
        writeln!(
            f,
            "bit-identical: {} of {} tensors; {} within tolerance, {} failed, {} not judged",
            summary.tensors_bit_identical,
            summary.tensors_judged,
            summary.tensors_within_tolerance,
            summary.tensors_failed,
            summary.tensors_not_judged,
        )?;
        let signatures = self.failures().filter_map(|(_, check)| check.looks_like.clone());
        counted(f, "looks like", signatures)?;
        for (case, check) in self.failures() {
            failure(f, case, check)?;
        }
        self.near_misses(f)?;
        self.not_judged(f)?;
        self.left_out(f)?;
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))
    }
}

impl SuiteReport {
    /// What passed without being equal: on the machine that wrote the goldens there is none.
    fn near_misses(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let all = self.cases.iter().flat_map(|case| {
            case.checks.iter().filter_map(move |check| {
                let within = check.outcome == Outcome::WithinTolerance;
                Some((case, check.tensor, check.comparison.as_ref().filter(|_| within)?))
            })
        });
        // Derived here from the golden moments, so that equal bits are not to be expected.
        let (derived, all): (Vec<_>, Vec<_>) = all.partition(|(_, step, _)| *step == Step::Std);
        let all = all.into_iter();
        for (case, step, comparison) in all.clone().take(MOST_NEAR_MISSES) {
            let difference = comparison.max_abs_diff.unwrap_or(0.0);
            let share = comparison.share() * 100.0;
            write!(f, "within tolerance: {} / {}: ", case.case, step.name())?;
            writeln!(f, "{share:.2} % differ, by at most {difference:.3e}")?;
        }
        match all.count().saturating_sub(MOST_NEAR_MISSES) {
            0 => (),
            more => writeln!(f, "within tolerance: {more} more")?,
        }
        match derived.len() {
            0 => Ok(()),
            count => writeln!(f, "within tolerance ({count}x): std, derived from golden moments"),
        }
    }

    fn not_judged(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let checks = self.cases.iter().flat_map(|case| &case.checks);
        let reasons = checks.filter(|check| check.outcome == Outcome::NotJudged).map(|check| {
            format!("{}: {}", check.tensor.name(), check.reason.as_deref().unwrap_or("no reason"))
        });
        counted(f, "not judged", reasons)
    }

    fn left_out(&self, f: &mut Formatter<'_>) -> fmt::Result {
        counted(f, "not run", self.not_run.iter().map(|case| case.reason.clone()))
    }
}

/// A line for each different text, in order of first appearance, with how often it came.
fn counted(f: &mut Formatter<'_>, label: &str, texts: impl Iterator<Item = String>) -> fmt::Result {
    let mut lines: Vec<(String, usize)> = Vec::new();
    for text in texts {
        match lines.iter_mut().find(|(known, _)| *known == text) {
            Some((_, count)) => *count += 1,
            None => lines.push((text, 1)),
        }
    }
    lines.iter().try_for_each(|(text, count)| writeln!(f, "{label} ({count}x): {text}"))
}

fn failure(f: &mut Formatter<'_>, case: &CaseReport, check: &Check) -> fmt::Result {
    writeln!(f, "\nFAILED {} / {} (model {})", case.case, check.tensor.name(), case.model)?;
    writeln!(f, "  shows:  {}", case.shows)?;
    if let Some(reason) = &check.reason {
        let label = if check.tensor == Step::PosteriorSamples { "draws: " } else { "error: " };
        writeln!(f, "  {label} {reason}")?;
    }
    if let Some(comparison) = &check.comparison {
        numbers(f, comparison)?;
    }
    if let Some(looks_like) = &check.looks_like {
        writeln!(f, "  like:   {looks_like}")?;
    }
    if let Some(location) = &check.location {
        writeln!(f, "  where:  {location}")?;
        if let Location::Module { identical, first_not_identical, fault, .. } = location {
            let first = first_not_identical.as_deref().unwrap_or("none");
            writeln!(f, "  bits:   {identical} modules identical, the first that is not: {first}")?;
            writeln!(f, "  alone:  {fault}")?;
        }
    }
    if let Some(saved) = &check.saved {
        writeln!(f, "  saved:  {}", saved.display())?;
    }
    if let Some(next) = &check.next {
        writeln!(f, "  next:   {next}")?;
    }
    Ok(())
}

fn numbers(f: &mut Formatter<'_>, comparison: &Comparison) -> fmt::Result {
    if comparison.actual_shape != comparison.expected_shape {
        let (actual, expected) = (&comparison.actual_shape, &comparison.expected_shape);
        return writeln!(
            f,
            "  shape:  {actual:?}, expected {expected:?}; values were not compared"
        );
    }
    write!(f, "  values: {} outside {}", comparison.failing, comparison.criterion)?;
    writeln!(f, " of {:?}, {}", comparison.expected_shape, judged_on(comparison))?;
    if comparison.non_finite > 0 {
        writeln!(f, "  values: {} are NaN or infinite", comparison.non_finite)?;
    }
    if let Criterion::Within { share: Some(share), .. } = comparison.criterion {
        let found = comparison.share();
        writeln!(f, "  values: {:.2} % differ, at most {:.2} % may", found * 100.0, share * 100.0)?;
    }
    match &comparison.worst {
        Some(worst) => writeln!(
            f,
            "  worst:  at {:?}: {}, expected {}",
            worst.index, worst.actual, worst.expected
        )?,
        None => writeln!(f, "  worst:  every judged value is equal, but the SHA-256 is not")?,
    }
    write!(f, "  over:  ")?;
    for row in &comparison.over {
        write!(f, " {:e}: {}", row.threshold, row.count)?;
    }
    writeln!(f)
}

fn judged_on(comparison: &Comparison) -> String {
    match comparison.judged {
        all if all == comparison.values => format!("judged on all {all} values"),
        some => format!("judged on {some} samples of {} values", comparison.values),
    }
}

impl Display for Criterion {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::BitIdentical => f.write_str("bit equality"),
            Self::Within { tolerance, .. } => {
                write!(f, "atol {:e} + rtol {:e} * |expected|", tolerance.atol(), tolerance.rtol())
            }
        }
    }
}

impl Display for Location {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let absent = match self {
            Self::Module { module, kind, difference, after, lacks, absent, .. } => {
                write!(f, "first diverging module {module} ({kind}): {difference}")?;
                match after {
                    Some(after) => write!(f, "; agrees up to {after}")?,
                    None => write!(f, "; it is the first, so look at its input too")?,
                }
                if let Some(lacks) = lacks {
                    write!(f, "; before it the trace lacks {lacks}")?;
                }
                *absent
            }
            Self::AfterTheLastModule { module, compared, absent } => {
                write!(
                    f,
                    "all {compared} modules agree: the fault lies behind the last, {module}"
                )?;
                *absent
            }
            Self::Unknown { reason } => return f.write_str(reason),
        };
        match absent {
            0 => Ok(()),
            absent => write!(f, "; {absent} modules of the golden are not in the trace"),
        }
    }
}

//! Explanations of one difference, ranked: what explains most with the fewest free numbers wins, and
//! is blamed only where it leaves nothing to explain and beats every other cause clearly.

use serde::Serialize;
use serde_json::{Map, Value};

use super::codes::{Cause, Code};
use super::finding::Finding;
use super::severity::Severity;

/// One thing that may have happened to a file of the user's.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Explanation {
    /// What is found if it holds.
    pub cause: &'static Cause,
    /// What was done, in words.
    pub what: String,
    /// How many numbers were fitted to the file itself.
    pub free: usize,
    /// RMS of the difference, over the values that it is about, without and with it.
    pub before: f64,
    pub left: f64,
    /// Whether it was bent to the file, so that only rounding may remain of a difference that it is the
    /// reason of.
    pub bent: bool,
    /// Numbers that a reader may want to see.
    pub numbers: Map<String, Value>,
}

/// What a fitted number has to take away to be worth its while, as a logarithm: a tenth.
const WORTH: f64 = 0.1;
/// A cause that is this much behind the first, as a logarithm (3 dB), is beaten.
const CLEARLY: f64 = 0.35;
/// What an explanation may leave, as a share of the difference: 4 dB.
const EXPLAINED: f64 = 0.63;
/// A share this small is as good as all.
const ALL_OF_IT: f64 = 0.2;
/// What something like the true cause leaves at most: of ten faults that no rule knows and that something explained in
/// part (log-variances for means, a bounded output, another activation, layers left out) that left 13 % or more.
const LIKE_IT: f64 = 0.1;
/// What the true cause may leave of the difference where another run rounds otherwise: 26 dB. Other causes
/// that do something alike (a factor of the latents, a line of the levels) leave more, mostly.
const TRUE: f64 = 0.05;

impl Explanation {
    /// Of `cause`, without a fitted number.
    pub fn new(cause: &'static Cause, what: impl Into<String>, before: f64, left: f64) -> Self {
        let (what, numbers) = (what.into(), Map::new());
        Self { cause, what, free: 0, before, left, bent: false, numbers }
    }

    /// The same, with `free` numbers fitted.
    pub fn fitted(mut self, free: usize) -> Self {
        self.free = free;
        self.bent = free > 0;
        self
    }

    /// The same, for numbers that are few beside what they explain.
    pub fn unbent(mut self) -> Self {
        self.bent = false;
        self
    }

    /// The same, with one more number to show.
    pub fn number(mut self, name: &str, value: impl Serialize) -> Self {
        self.numbers.insert(name.to_owned(), serde_json::to_value(value).unwrap_or_default());
        self
    }

    /// A finding of its cause, with its numbers.
    fn finding(&self, title: String, severity: Severity) -> Finding {
        let finding = Finding::new(self.cause, title).severity(severity);
        self.numbers.iter().fold(finding, |finding, (name, value)| finding.evidence(name, value))
    }

    /// Smaller is better. What is left is a share of what each has to explain.
    fn score(&self, floor: f64) -> f64 {
        let share = self.left.max(floor) / self.before.max(floor);
        share.ln() + WORTH * self.free as f64
    }

    /// Whether it takes enough of the difference away to be told at all.
    pub fn tells(&self) -> bool {
        let worth = (-WORTH * self.free as f64).exp();
        // NaN tells nothing.
        self.left <= EXPLAINED * worth * self.before
    }
}

/// Everything that was tried on one file.
#[derive(Debug, Clone, Default)]
pub(super) struct Competition<'a> {
    /// What rounding leaves: below it one explanation is as good as another.
    floor: f64,
    /// The same where a number was fitted to the file, which a JPEG moves.
    floor_of_fits: f64,
    /// What another run of the same leaves, in half precision and by other kernels; `None` where the file
    /// is held against what is only nearly right, and what explains most of it has to do.
    half_precision: Option<f64>,
    /// Codes that do not take part.
    unknown: &'a [Code],
    offered: Vec<Explanation>,
}

/// How a competition ends.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    /// Nothing explains the difference.
    Unexplained,
    /// This does, and beats every other cause clearly; whether it leaves no more than rounding does.
    Clear(Explanation, bool),
    /// This explains most of it, but the true cause would leave less: something like it was done.
    Nearest(Explanation),
    /// These two causes explain it about as well, the better one first.
    OneOf(Explanation, Explanation),
    /// This explains a part of it, and more remains than it may leave.
    InPart(Explanation),
}

impl<'a> Competition<'a> {
    /// `floor` is the RMS that rounding leaves of a perfect explanation, `half_precision` what another
    /// run leaves of it; explanations by `unknown` codes do not take part.
    pub fn new(floor: f64, half_precision: f64, unknown: &'a [Code]) -> Self {
        let half_precision = Some(half_precision);
        Self { floor, floor_of_fits: floor, half_precision, unknown, offered: Vec::new() }
    }

    /// The same, where fitted numbers leave `floor` at least.
    pub fn fitted_to(mut self, floor: f64) -> Self {
        self.floor_of_fits = self.floor.max(floor);
        self
    }

    /// Of files that are held against what is only nearly right.
    pub fn of_parts(floor: f64) -> Self {
        Self { floor, floor_of_fits: floor, ..Self::default() }
    }

    pub fn offer(&mut self, explanation: Explanation) {
        if !self.unknown.contains(&explanation.cause.code) {
            self.offered.push(explanation);
        }
    }

    /// Whether something leaves no more than rounding does, so that no search can better it. What was bent that
    /// near, and would be warned of only, ends no search.
    pub fn done(&self) -> bool {
        let is_best = |one: &Explanation| one.left <= 2.0 * self.floor && self.is_all(one);
        self.offered.iter().any(|one| is_best(one) && self.is_true(one))
    }

    /// Whether this was tried already.
    pub fn has(&self, cause: &Cause, what: &str) -> bool {
        self.offered.iter().any(|one| one.cause.code == cause.code && one.what == what)
    }

    fn is_all(&self, one: &Explanation) -> bool {
        one.left <= 2.0 * self.floor_of(one) && one.left <= ALL_OF_IT * one.before
    }

    fn floor_of(&self, one: &Explanation) -> f64 {
        if one.bent { self.floor_of_fits } else { self.floor }
    }

    /// Whether it leaves what the true cause would.
    fn is_true(&self, one: &Explanation) -> bool {
        let Some(half_precision) = self.half_precision else { return true };
        let rounds_otherwise =
            !one.bent && one.left <= half_precision && one.left <= TRUE * one.before;
        // A number that was searched for is only nearly the best one; several come from least squares, and bend
        // to curves and matrices that are nearly lines.
        let bends = one.bent && one.free > 1 && one.left > self.floor_of_fits;
        (self.is_all(one) && !bends) || rounds_otherwise
    }

    /// Whether an explanation by `code` takes enough of the difference away to be told.
    pub fn tells(&self, code: Code) -> bool {
        self.offered.iter().any(|one| one.cause.code == code && one.tells())
    }

    /// Those that tell anything at all: first what may be true, each by its score.
    fn ranked(&self) -> Vec<&Explanation> {
        let mut ranked: Vec<_> = self.offered.iter().filter(|one| one.tells()).collect();
        ranked.sort_by(|a, b| {
            let by_score = a.score(self.floor).total_cmp(&b.score(self.floor));
            self.is_true(b).cmp(&self.is_true(a)).then(by_score)
        });
        ranked
    }

    /// Which explanation wins. One that leaves more than `allowed`, and more than a fifth of the
    /// difference, explains it only in part.
    pub fn outcome(&self, allowed: f64) -> Outcome {
        let ranked = self.ranked();
        let Some(&first) = ranked.first() else { return Outcome::Unexplained };
        if first.left > allowed && first.left > ALL_OF_IT * first.before {
            return Outcome::InPart(first.clone());
        }
        if !self.is_true(first) {
            return Outcome::Nearest(first.clone());
        }
        let rival = ranked.iter().find(|one| one.cause.code != first.cause.code);
        match rival {
            Some(&second) if second.score(self.floor) - first.score(self.floor) < CLEARLY => {
                Outcome::OneOf(first.clone(), second.clone())
            }
            _ => Outcome::Clear(first.clone(), self.is_all(first)),
        }
    }

    /// What was tried and does not explain it: the nearest of each cause, with the share of the
    /// difference that it leaves.
    pub fn ruled_out(&self) -> Vec<String> {
        let mut nearest: Vec<&Explanation> = Vec::new();
        let share = |one: &Explanation| one.left / one.before;
        for one in self.offered.iter().filter(|one| share(one).is_finite()) {
            match nearest.iter_mut().find(|known| known.cause.code == one.cause.code) {
                Some(known) if share(one) < share(known) => *known = one,
                Some(_) => {}
                None => nearest.push(one),
            }
        }
        nearest.sort_by(|a, b| share(a).total_cmp(&share(b)));
        let told = |one: &&Explanation| {
            let left = (100.0 * share(one)).round();
            format!("{}: {} leaves {left} % of the difference", one.cause.code, one.what)
        };
        nearest.iter().map(told).collect()
    }
}

impl Outcome {
    /// The finding of what explains the difference, after `subject` ("your picture is the
    /// reference's, "); `None` where nothing does. A file that is `altered` visibly fails, by this
    /// finding or, where that only warns of the nearest cause, by one that names none.
    pub fn finding(&self, subject: &str, altered: bool) -> Option<Finding> {
        match self {
            Self::Unexplained | Self::InPart(_) => None,
            Self::Clear(one, all) => {
                // What nobody sees is an error only where there is no doubt.
                let severity = match one.cause.severity {
                    _ if altered => Severity::Error,
                    Severity::Error if !all => Severity::Warning,
                    severity => severity,
                };
                Some(one.finding(format!("{subject}{}", one.what), severity))
            }
            Self::Nearest(one) => {
                let left = 100.0 * one.left / one.before;
                let like_it = left <= 100.0 * LIKE_IT;
                let of_it = match like_it {
                    true => format!(
                        "that explains most of the difference and leaves {left:.1} % of it, so something like \
                         it was done"
                    ),
                    false => format!(
                        "the nearest of what was tried, and not the cause, or not the only one: it leaves \
                         {left:.1} % of the difference"
                    ),
                };
                let title = format!("{subject}{}: {of_it}", one.what);
                let severity = match one.cause.severity {
                    _ if !like_it => Severity::Info,
                    Severity::Error => Severity::Warning,
                    severity => severity,
                };
                Some(one.finding(title, severity))
            }
            Self::OneOf(one, other) => {
                let title = format!(
                    "{subject}{}; or ({}) {}: these two cannot be told apart here",
                    one.what, other.cause.code, other.what
                );
                let severity = if altered { Severity::Error } else { Severity::Warning };
                let both = [one, other].map(|side| {
                    let mut numbers = side.numbers.clone();
                    numbers.insert("code".into(), Value::from(side.cause.code.as_str()));
                    numbers.insert("what".into(), Value::from(side.what.as_str()));
                    numbers.insert("share_left".into(), Value::from(side.left / side.before));
                    numbers
                });
                let finding = Finding::new(one.cause, title)
                    .severity(severity)
                    .remedy(format!("{}; or {}", one.cause.remedy, other.cause.remedy))
                    .evidence("one_of", both);
                Some(finding)
            }
        }
    }

    /// Whether it blames a cause of this kind without leaving no more than rounding.
    pub fn doubts(&self, kind: impl Fn(Code) -> bool) -> bool {
        match self {
            Self::Unexplained | Self::Clear(_, true) => false,
            Self::Clear(one, false)
            | Self::Nearest(one)
            | Self::OneOf(one, _)
            | Self::InPart(one) => kind(one.cause.code),
        }
    }

    /// The explanation that comes first, if any.
    pub fn first(&self) -> Option<&Explanation> {
        match self {
            Self::Unexplained => None,
            Self::Clear(one, _) | Self::Nearest(one) | Self::OneOf(one, _) | Self::InPart(one) => {
                Some(one)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::changes::{CHANNEL_SWAP, INPUT_NOT_NORMALISED};
    use super::super::scaling::SCALING_FACTOR_MISMATCH;
    use super::*;

    fn offered(explanations: Vec<Explanation>) -> Competition<'static> {
        Competition { offered: explanations, ..Competition::new(0.3, 1.0, &[]) }
    }

    #[test]
    fn the_best_explanation_wins_only_where_it_is_clearly_better() {
        let swap = Explanation::new(&CHANNEL_SWAP, "swapped", 10.0, 0.4);
        let factor = Explanation::new(&SCALING_FACTOR_MISMATCH, "scaled", 10.0, 4.0);
        let clear = offered(vec![factor, swap.clone()]);
        assert_eq!(clear.outcome(1.0), Outcome::Clear(swap.clone(), true));
        assert!(clear.done());
        let near = Explanation::new(&SCALING_FACTOR_MISMATCH, "scaled", 10.0, 0.5);
        let close = offered(vec![near.clone(), swap.clone()]);
        assert_eq!(close.outcome(1.0), Outcome::OneOf(swap, near));
        let finding = close.outcome(1.0).finding("it is ", true).unwrap();
        assert_eq!(finding.code, CHANNEL_SWAP.code);
        assert_eq!(finding.severity, Severity::Error);
        assert!(finding.title.contains("scaling-factor-mismatch"), "{}", finding.title);
        assert_eq!(close.outcome(1.0).finding("", false).unwrap().severity, Severity::Warning);
    }

    #[test]
    fn what_is_unknown_takes_no_part() {
        let swap = Explanation::new(&CHANNEL_SWAP, "swapped", 10.0, 0.4);
        let factor = Explanation::new(&SCALING_FACTOR_MISMATCH, "scaled", 10.0, 4.0);
        let mut competition = Competition::new(0.3, 1.0, &[Code::ChannelSwap]);
        competition.offer(swap);
        competition.offer(factor.clone());
        assert_eq!(competition.outcome(5.0), Outcome::Nearest(factor));
    }

    #[test]
    fn fitted_numbers_have_to_be_worth_their_while() {
        let plain = Explanation::new(&CHANNEL_SWAP, "swapped", 20.0, 0.9);
        let fitted = Explanation::new(&SCALING_FACTOR_MISMATCH, "scaled", 20.0, 0.8).fitted(12);
        assert_eq!(offered(vec![fitted, plain.clone()]).outcome(2.0), Outcome::Clear(plain, false));
    }

    #[test]
    fn what_leaves_more_than_the_true_cause_would_is_only_warned_of() {
        let swap = |left| Explanation::new(&CHANNEL_SWAP, "swapped", 20.0, left);
        let nearest = |one: Explanation| {
            let outcome = offered(vec![one.clone()]).outcome(5.0);
            outcome == Outcome::Nearest(one)
        };
        // Half precision leaves 1 here, and rounding 0.3.
        assert!(!nearest(swap(0.9)) && nearest(swap(1.1)) && nearest(swap(3.0)));
        // What was bent to the file may leave only rounding.
        assert!(!nearest(swap(0.5).fitted(1)) && nearest(swap(0.9).fitted(1)));
        assert!(!nearest(swap(0.3).fitted(2)) && nearest(swap(0.5).fitted(2)));
        assert!(!nearest(swap(0.9).fitted(2).unbent()));
        // What was bent nearer to it, and not all the way, is a rival at most.
        let bent = Explanation::new(&SCALING_FACTOR_MISMATCH, "scaled", 20.0, 0.7).fitted(2);
        let both = offered(vec![bent.clone(), swap(0.9)]).outcome(5.0);
        assert_eq!(both, Outcome::OneOf(swap(0.9), bent));
        // A twentieth of a small difference is less than half precision leaves.
        assert!(nearest(Explanation { before: 10.0, ..swap(0.9) }));
        let finding = Outcome::Nearest(swap(1.5)).finding("it is ", true).unwrap();
        assert_eq!(finding.severity, Severity::Warning);
        assert!(finding.title.contains("leaves 7.5 % of it"), "{}", finding.title);
        let parts = Competition { offered: vec![swap(3.0)], ..Competition::of_parts(0.3) };
        assert_eq!(parts.outcome(5.0), Outcome::Clear(swap(3.0), false));
    }

    #[test]
    fn what_leaves_too_much_or_is_not_a_number_is_not_blamed() {
        let half = Explanation::new(&INPUT_NOT_NORMALISED, "fed as [0, 1]", 10.0, 5.0);
        assert_eq!(offered(vec![half.clone()]).outcome(2.0), Outcome::InPart(half.clone()));
        assert_eq!(offered(vec![half.clone()]).outcome(6.0), Outcome::Nearest(half.clone()));
        assert_eq!(Outcome::InPart(half.clone()).finding("", true), None);
        let nothing = Explanation { left: 9.0, ..half.clone() };
        let nan = Explanation { left: f64::NAN, ..half };
        let none = offered(vec![nothing, nan]);
        assert_eq!(none.outcome(100.0), Outcome::Unexplained);
        assert_eq!(
            none.ruled_out(),
            ["input-not-normalised: fed as [0, 1] leaves 90 % of the difference"]
        );
        assert!(!none.done());
    }
}

//! The table of codes: every cause that can be named, how it is decided, and what mends it.
//!
//! A rule takes severity, title and remedy of its findings from here, and `explain` prints a row.
//! Rows lie in one file per family of causes.

mod arithmetic;
mod files;
mod geometry;
mod latents;
mod pixels;
mod range;
mod weights;

use serde::Serialize;

use super::Severity;

/// One cause of faults, as `explain` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Code {
    /// Stable name, for example `channel-swap`.
    pub code: &'static str,
    /// How grave its findings are; a finding may be milder, never graver.
    pub severity: Severity,
    /// The cause in a few words.
    pub title: &'static str,
    /// What happens, and what people see.
    pub meaning: &'static str,
    /// What is measured, and the numbers that decide.
    pub rule: &'static str,
    /// What to do, in one line: the remedy of its findings.
    pub remedy: &'static str,
    /// How to mend it in diffusers.
    pub diffusers: &'static str,
    /// How to mend it in ComfyUI.
    pub comfyui: &'static str,
    /// How to mend it in an implementation of one's own.
    pub ports: &'static str,
    /// Public reports, as `owner/repository#number`.
    pub sources: &'static [&'static str],
    /// Commands of this version that can find it, with the flags they need; empty where no rule
    /// decides it yet.
    pub decided_by: &'static [&'static str],
}

/// Every code, by family of causes.
pub fn codes() -> impl Iterator<Item = &'static Code> {
    [
        arithmetic::CODES,
        range::CODES,
        latents::CODES,
        geometry::CODES,
        pixels::CODES,
        weights::CODES,
        files::CODES,
    ]
    .into_iter()
    .flatten()
}

/// The row of `code`, or `None` for a name that is no code.
///
/// ```
/// use vae_fidelity_diagnosis::{Severity, code};
/// assert_eq!(code("channel-swap").unwrap().severity, Severity::Error);
/// assert_eq!(code("no-such-cause"), None);
/// ```
pub fn code(code: &str) -> Option<&'static Code> {
    codes().find(|row| row.code == code)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn rows_are_whole_and_codes_differ() {
        let mut seen = HashSet::new();
        for row in codes() {
            assert!(seen.insert(row.code), "{} is there twice", row.code);
            let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(row.code.chars().all(kebab), "{}", row.code);
            let texts = [
                row.title,
                row.meaning,
                row.rule,
                row.remedy,
                row.diffusers,
                row.comfyui,
                row.ports,
            ];
            assert!(texts.iter().all(|text| text.len() > 8), "{}: a text is missing", row.code);
            for source in row.sources {
                let (repository, number) = source.split_once('#').unwrap_or((source, ""));
                assert!(
                    repository.split('/').count() == 2 && number.parse::<u32>().is_ok(),
                    "{}: {source}",
                    row.code
                );
            }
        }
    }
}

//! One line a fact: the columns, styles and numbers that the reports of all commands share.

use std::fmt::{self, Display};
use std::path::Path;

use anstyle::{AnsiColor, Style};

use super::check::{Decoded, SavedFile};
use crate::printable::shown;
use crate::trace::Statistics;

pub(super) const GOOD: Style = AnsiColor::Green.on_default().bold();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(super) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
pub(super) const FAINT: Style = Style::new().dimmed();

/// A name in a column of its own, and what it is.
pub(super) fn line(f: &mut fmt::Formatter<'_>, name: &str, what: impl Display) -> fmt::Result {
    writeln!(f, "{FAINT}{name:<8}{FAINT:#} {what}")
}

/// `(1, 4, 64, 64)`, as Python prints it.
pub(super) fn tuple(shape: &[usize]) -> String {
    let sides: Vec<String> = shape.iter().map(ToString::to_string).collect();
    match sides.as_slice() {
        [side] => format!("({side},)"),
        sides => format!("({})", sides.join(", ")),
    }
}

/// Four digits that count, in scientific notation where zeros would fill the line.
pub(super) fn number(value: Option<impl Into<f64>>) -> String {
    match value.map(Into::into) {
        None => "-".to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(value) if (1e-3..1e6).contains(&value.abs()) => format!("{value:.4}"),
        Some(value) => format!("{value:.3e}"),
    }
}

/// A share in hundredths.
/// How much of it lies outside [-1, 1].
fn outside(decoded: &Decoded) -> String {
    match (decoded.clamped_fraction, decoded.min) {
        (None, Some(_)) => "clamped to [-1, 1] by the model".to_owned(),
        (share, _) => format!("{} outside [-1, 1]", percent(share)),
    }
}

fn percent(share: Option<f64>) -> String {
    share.map_or("-".to_owned(), |share| format!("{:.2} %", share * 100.0))
}

/// How many values are not finite; nothing where all are.
fn non_finite(count: usize) -> String {
    if count == 0 {
        return String::new();
    }
    format!(", {BAD}{count} NaN or infinite{BAD:#}")
}

/// A decoded sample, before clamping.
pub(super) fn decoded_line(f: &mut fmt::Formatter<'_>, decoded: &Decoded) -> fmt::Result {
    line(
        f,
        "decoded",
        format_args!(
            "{} range [{}, {}], {}{}",
            tuple(&decoded.shape),
            number(decoded.min),
            number(decoded.max),
            outside(decoded),
            non_finite(decoded.non_finite),
        ),
    )
}

/// Where the decoded picture and the files beside it lie.
pub(super) fn saved_lines(
    f: &mut fmt::Formatter<'_>,
    picture: Option<&Path>,
    beside: &[SavedFile],
) -> fmt::Result {
    if let Some(path) = picture {
        line(f, "saved", shown(path.display()))?;
    }
    for (at, SavedFile { what, path }) in beside.iter().enumerate() {
        let name = if at == 0 && picture.is_none() { "saved" } else { "" };
        line(f, name, format_args!("{} ({what})", shown(path.display())))?;
    }
    Ok(())
}

/// Latents in numbers.
pub(super) fn in_numbers(statistics: &Statistics) -> String {
    format!(
        "mean {}, std {}, range [{}, {}]{}",
        number(statistics.mean),
        number(statistics.std),
        number(statistics.min),
        number(statistics.max),
        non_finite(statistics.non_finite),
    )
}

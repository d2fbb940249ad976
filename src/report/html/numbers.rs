//! How a page writes numbers, and what it writes where there is none.

use minijinja::value::ValueKind;
use minijinja::{Environment, Value};

const NONE: &str = "\u{2013}";

pub(super) fn add_filters(environment: &mut Environment) {
    environment.add_filter("fixed", |value: Value, digits: usize| {
        of(&value).map_or(NONE.to_owned(), |value| format!("{value:.digits$}"))
    });
    environment.add_filter("signed", |value: Value| {
        of(&value).map_or(NONE.to_owned(), |value| format!("{value:+.3}"))
    });
    environment.add_filter("decibels", |value: Value| {
        of(&value).map_or(NONE.to_owned(), |value| format!("{value:+.1}"))
    });
    environment.add_filter("percent", |value: Value| of(&value).map_or(NONE.to_owned(), percent));
    environment.add_filter("number", |value: Value| match of(&value) {
        None => NONE.to_owned(),
        some => crate::report::lines::number(some),
    });
    environment.add_filter("grouped", grouped);
    // Whatever stands in JSON, as JSON writes it.
    environment.add_filter("plain", |value: Value| match value.kind() {
        ValueKind::String => value.to_string(),
        ValueKind::None => NONE.to_owned(),
        _ => serde_json::to_string(&value).unwrap_or_else(|_| value.to_string()),
    });
}

fn of(value: &Value) -> Option<f64> {
    f64::try_from(value.clone()).ok()
}

/// 0.1234 as 12.34 %; what rounds to nothing has no sign.
fn percent(share: f64) -> String {
    let rounded = (share * 1e4).round() / 1e2 + 0.0;
    format!("{rounded:.2} %")
}

/// 1234567 as 1,234,567.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let parts: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .filter_map(|part| std::str::from_utf8(part).ok())
        .collect();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::{grouped, percent};

    #[test]
    fn thousands_are_set_apart() {
        let written = [0, 999, 1000, 83_653_863].map(grouped);
        assert_eq!(written, ["0", "999", "1,000", "83,653,863"]);
    }

    #[test]
    fn nothing_has_no_sign() {
        let written = [0.1234, -0.1234, -0.000_01, f64::NAN].map(percent);
        assert_eq!(written, ["12.34 %", "-12.34 %", "0.00 %", "NaN %"]);
    }
}
